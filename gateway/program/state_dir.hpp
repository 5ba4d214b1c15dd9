#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "gateway/program/child.hpp"

namespace kgents::gateway {

/// A directory that belongs to a child: as a path for people, and as the path under which the child
/// reaches it.
///
/// When kgentsd runs as root below a directory that only root may enter (/root, say), the child's
/// user cannot walk there. It then inherits an open descriptor and enters through /proc/self/fd,
/// which needs no right on the parents.
class child_directory {
public:
  child_directory(std::filesystem::path path, std::optional<identity> owner);
  child_directory(const child_directory&) = delete;
  child_directory& operator=(const child_directory&) = delete;
  ~child_directory();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] const std::string& as_child() const noexcept { return as_child_; }
  [[nodiscard]] int descriptor() const noexcept { return fd_; }
  [[nodiscard]] bool walkable() const noexcept { return as_child_ == path_.string(); }

private:
  std::filesystem::path path_;
  std::string as_child_;
  int fd_ = -1;
};

/// The state directory of `kgentsd dev`, locked for one kgentsd at a time for as long as this
/// lives. The lock goes with the process, so nothing is left to clean up after kill -9.
class state_dir {
public:
  /// Creates it when missing. Throws cannot_start when it cannot be used or another kgentsd uses
  /// it.
  explicit state_dir(std::filesystem::path path);
  state_dir(const state_dir&) = delete;
  state_dir& operator=(const state_dir&) = delete;
  ~state_dir();

  /// Empties it of what earlier runs left. Refuses a directory that no kgentsd has used before.
  void wipe();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// Whom children run as: PostgreSQL refuses to be root. None when kgentsd is not root itself.
  [[nodiscard]] const std::optional<identity>& child_identity() const noexcept { return who_; }

private:
  std::filesystem::path path_;
  std::optional<identity> who_;
  int lock_ = -1;
  bool used_before_ = false;
};

/// `$XDG_STATE_HOME/kgents`, else `~/.local/state/kgents` (XDG Base Directory Specification 0.8).
[[nodiscard]] std::filesystem::path default_state_dir();

/// Starts a child's log afresh once it has grown past 8 MiB, keeping one older file.
void rotate(const std::filesystem::path& log);

}  // namespace kgents::gateway
