#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace kgents::gateway {

/// Why a program cannot go on before it serves: the line for standard error and the exit status.
/// Thrown only between main and serve, where every step's failure has the same answer: stop the
/// children and say why.
class cannot_start : public std::runtime_error {
public:
  cannot_start(int status, const std::string& message)
      : std::runtime_error{message}, status_{status} {}
  [[nodiscard]] int status() const noexcept { return status_; }

private:
  int status_;
};

/// Exit statuses of kgentsd (sysexits.h's numbers).
enum exit_status : int { exit_ok = 0, exit_usage = 64, exit_unavailable = 69, exit_internal = 70 };

/// Whom a child runs as.
struct identity {
  uid_t uid;
  gid_t gid;
};

/// What to run and how.
struct child_spec {
  std::filesystem::path program;
  std::vector<std::string> args;   ///< without the program's name
  std::filesystem::path log;       ///< standard output and error are appended to it
  int death_signal;                ///< what the kernel sends the child when kgentsd is gone
  std::optional<identity> run_as;  ///< none: as kgentsd
  std::vector<int> keep_fds;       ///< descriptors it inherits beside the standard ones
};

/// A child process that cannot outlive kgentsd: the kernel signals it when the thread that started
/// it ends, however that happens, so start children on the main thread. It has a process group of
/// its own, so that Ctrl-C on a terminal reaches kgentsd only, and an environment of its own, so
/// that PGDATA and the like do not reach it.
///
/// Movable; the destructor ends what still runs. Not thread-safe, but any thread may poll
/// `descriptor`.
class child {
public:
  using milliseconds = std::chrono::milliseconds;

  /// Throws cannot_start when the program cannot be run.
  static child start(const child_spec& spec);

  child(child&& other) noexcept;
  child& operator=(child&&) = delete;
  ~child();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Its pidfd: readable once it has ended. Valid as long as this object.
  [[nodiscard]] int descriptor() const noexcept { return pidfd_; }

  /// Waits for its end; false when it still runs after `patience`. Reaps it.
  bool ended_within(milliseconds patience);

  /// Whether it ended by itself with status 0; only once it has ended.
  [[nodiscard]] bool succeeded() const noexcept { return succeeded_; }

  /// Sends each signal in turn until the child has ended, `patience` apart, SIGKILL last.
  void stop(std::initializer_list<int> signals, milliseconds patience);

private:
  child(pid_t pid, int pidfd, int death_signal) noexcept
      : pid_{pid}, pidfd_{pidfd}, death_signal_{death_signal} {}

  pid_t pid_ = -1;
  int pidfd_ = -1;
  int death_signal_ = 0;
  bool ended_ = false;
  bool succeeded_ = false;
};

/// The last lines of a child's log, for the message that says why it did not start.
[[nodiscard]] std::string tail_of(const std::filesystem::path& log);

}  // namespace kgents::gateway
