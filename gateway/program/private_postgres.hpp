#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "gateway/program/child.hpp"
#include "gateway/program/state_dir.hpp"

namespace kgents::gateway {

/// The PostgreSQL of `kgentsd dev`: an ordinary data directory `postgres/` in the state directory,
/// reached through a Unix socket only, in a directory that only its user (and root) may enter. That
/// is why connections need no password.
///
/// Durable like a real one (fsync on): what was committed is there after kill -9.
class private_postgres {
public:
  /// Makes the data directory if there is none, starts the server and waits until it answers.
  /// Throws cannot_start or interrupted.
  explicit private_postgres(const state_dir& where);
  ~private_postgres();
  private_postgres(const private_postgres&) = delete;
  private_postgres& operator=(const private_postgres&) = delete;

  /// A libpq URL of the database `kgents` as `user`; `postgres` is the superuser.
  [[nodiscard]] std::string url(std::string_view user) const { return url(user, "kgents"); }

  [[nodiscard]] const child& process() const noexcept { return *process_; }

  /// Ends it in order: clients are disconnected and everything is written back.
  void stop();

private:
  void make_data_directory();
  void choose_socket_directory();
  void start();
  void await_answer();
  void create_database();
  [[nodiscard]] std::string url(std::string_view user, std::string_view database) const;

  const state_dir& where_;
  std::filesystem::path log_;
  std::filesystem::path socket_directory_;
  std::optional<child_directory> data_;
  std::optional<child> process_;
};

}  // namespace kgents::gateway
