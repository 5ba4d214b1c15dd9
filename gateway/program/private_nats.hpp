#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "gateway/program/child.hpp"
#include "gateway/program/state_dir.hpp"

namespace kgents::gateway {

/// The nats-server of `kgentsd dev`: JetStream in `nats/` of the state directory, on a free port of
/// loopback that only who knows this run's token may use.
class private_nats {
public:
  /// Starts it and waits until it listens. Throws cannot_start or interrupted.
  explicit private_nats(const state_dir& where);
  ~private_nats();
  private_nats(const private_nats&) = delete;
  private_nats& operator=(const private_nats&) = delete;

  /// With the token in it: not for logs.
  [[nodiscard]] const std::string& url() const noexcept { return url_; }

  [[nodiscard]] const child& process() const noexcept { return *process_; }

  void stop();

private:
  void write_configuration(const std::string& token);
  void await_port(const std::string& token);

  std::filesystem::path log_;
  child_directory data_;
  std::optional<identity> who_;
  std::optional<child> process_;
  std::string url_;
};

}  // namespace kgents::gateway
