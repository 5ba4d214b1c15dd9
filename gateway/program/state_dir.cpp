#include "gateway/program/state_dir.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace kgents::gateway {

namespace {

namespace fs = std::filesystem;

constexpr const char* lock_name = "kgentsd.lock";

std::string because(int error) { return std::string{": "} + std::strerror(error); }

std::optional<identity> unprivileged() {
  if (::geteuid() != 0)
    return std::nullopt;
  for (auto name : {"postgres", "nobody"})
    if (const auto* entry = ::getpwnam(name); entry != nullptr && entry->pw_uid != 0)
      return identity{entry->pw_uid, entry->pw_gid};
  throw cannot_start{exit_unavailable,
                     "PostgreSQL does not run as root, and there is no user postgres or nobody"};
}

/// Asked of the kernel by a process that has become `who`: mode bits alone do not tell (ACLs,
/// capabilities).
bool can_enter(const fs::path& path, const identity& who) {
  const auto pid = ::fork();
  if (pid == 0) {
    struct stat found {};
    const bool yes = ::setgroups(0, nullptr) == 0 && ::setresgid(who.gid, who.gid, who.gid) == 0 &&
                     ::setresuid(who.uid, who.uid, who.uid) == 0 &&
                     ::stat(path.c_str(), &found) == 0;
    ::_exit(yes ? 0 : 1);
  }
  int status = 1;
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
}

std::string owner_in(int lock) {
  char text[32] = {};
  const auto length = ::pread(lock, text, sizeof text - 1, 0);
  return length > 0 ? " (process " + std::string{text, static_cast<size_t>(length)} + ")" : "";
}

}  // namespace

child_directory::child_directory(fs::path path, std::optional<identity> owner)
    : path_{std::move(path)}, as_child_{path_.string()} {
  const auto fail = [this](const char* what) {
    return cannot_start{exit_unavailable,
                        std::string{what} + " " + path_.string() + because(errno)};
  };
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST)
    throw fail("cannot create");
  if (!owner)
    return;
  if (::chown(path_.c_str(), owner->uid, owner->gid) != 0)
    throw fail("cannot hand over");
  if (can_enter(path_, *owner))
    return;
  fd_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0)
    throw fail("cannot open");
  as_child_ = "/proc/self/fd/" + std::to_string(fd_);
}

child_directory::~child_directory() {
  if (fd_ >= 0)
    ::close(fd_);
}

state_dir::state_dir(fs::path path) : path_{fs::absolute(std::move(path)).lexically_normal()} {
  std::error_code error;
  if (!fs::is_directory(path_, error))
    fs::create_directories(path_, error);
  if (error)
    throw cannot_start{exit_unavailable, "cannot use the state directory " + path_.string() + ": " +
                                             error.message() + "; choose another with --state-dir"};
  used_before_ = fs::exists(path_ / lock_name);
  lock_ = ::open((path_ / lock_name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0)
    throw cannot_start{exit_unavailable, "cannot use the state directory " + path_.string() +
                                             because(errno) + "; choose another with --state-dir"};
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const auto message = "another kgentsd dev" + owner_in(lock_) + " uses the state directory " +
                         path_.string() + "; stop it, or choose another with --state-dir";
    ::close(lock_);
    throw cannot_start{exit_unavailable, message};
  }
  const auto pid = std::to_string(::getpid());
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, pid.data(), pid.size(), 0) < 0)
    throw cannot_start{exit_unavailable,
                       "cannot write to the state directory " + path_.string() + because(errno)};
  who_ = unprivileged();
}

state_dir::~state_dir() {
  ::close(lock_);  // and with it the lock; the file stays, since removing it would race with the
                   // next one's open
}

void state_dir::wipe() {
  std::error_code error;
  for (auto name : {"postgres", "postgres.new", "nats", "socket", "postgres.log", "postgres.log.1",
                    "nats.log", "nats.log.1"}) {
    const auto entry = path_ / name;
    if (!fs::exists(fs::symlink_status(entry, error)))
      continue;
    if (!used_before_)
      throw cannot_start{exit_usage,
                         "--fresh: " + path_.string() +
                             " is not a state directory of kgentsd dev, but has an entry " + name +
                             "; remove it yourself"};
    fs::remove_all(entry, error);
    if (error)
      throw cannot_start{exit_unavailable,
                         "--fresh: cannot remove " + entry.string() + ": " + error.message()};
  }
}

fs::path default_state_dir() {
  if (const char* base = std::getenv("XDG_STATE_HOME"); base != nullptr && *base == '/')
    return fs::path{base} / "kgents";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') {
    const auto* entry = ::getpwuid(::geteuid());
    home = entry != nullptr ? entry->pw_dir : "/tmp";
  }
  return fs::path{home} / ".local" / "state" / "kgents";
}

void rotate(const fs::path& log) {
  constexpr uintmax_t most = 8u << 20;
  std::error_code error;
  if (const auto size = fs::file_size(log, error); !error && size > most)
    fs::rename(log, log.string() + ".1", error);
}

}  // namespace kgents::gateway
