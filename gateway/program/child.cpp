#include "gateway/program/child.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace kgents::gateway {

namespace {

using std::chrono::milliseconds;

/// Everything the new process needs, made before the fork: between fork and exec only
/// async-signal-safe calls are allowed, since other threads may have held the allocator's lock.
struct prepared {
  std::vector<std::string> words;
  std::vector<char*> argv;
  std::vector<const char*> environment;
  int log = -1;
  int null = -1;
  int report = -1;  // the write end that carries errno to the parent; closed by a successful exec
};

[[noreturn]] void fail(const prepared& with) {
  const int error = errno;
  (void)!::write(with.report, &error, sizeof error);
  ::_exit(127);
}

[[noreturn]] void become(const child_spec& spec, const prepared& with, pid_t parent) {
  ::setpgid(0, 0);
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number)
    ::sigaction(number, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (spec.run_as && (::setgroups(0, nullptr) != 0 ||
                      ::setresgid(spec.run_as->gid, spec.run_as->gid, spec.run_as->gid) != 0 ||
                      ::setresuid(spec.run_as->uid, spec.run_as->uid, spec.run_as->uid) != 0))
    fail(with);
  // After the change of identity, which clears it; and the parent may be gone already.
  if (::prctl(PR_SET_PDEATHSIG, spec.death_signal) != 0)
    fail(with);
  if (::getppid() != parent)
    ::_exit(127);
  ::umask(077);
  if (::chdir("/") != 0 || ::dup2(with.null, STDIN_FILENO) < 0 ||
      ::dup2(with.log, STDOUT_FILENO) < 0 || ::dup2(with.log, STDERR_FILENO) < 0)
    fail(with);
  for (int fd : spec.keep_fds)
    if (::fcntl(fd, F_SETFD, 0) != 0)
      fail(with);
  ::execve(spec.program.c_str(), with.argv.data(), const_cast<char**>(with.environment.data()));
  fail(with);
}

prepared prepare(const child_spec& spec) {
  prepared result;
  result.words.push_back(spec.program.string());
  result.words.insert(result.words.end(), spec.args.begin(), spec.args.end());
  for (auto& word : result.words)
    result.argv.push_back(word.data());
  result.argv.push_back(nullptr);
  result.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/",
                        nullptr};
  result.log = ::open(spec.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (result.log < 0)
    throw cannot_start{exit_unavailable,
                       "cannot write " + spec.log.string() + ": " + std::strerror(errno)};
  result.null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  return result;
}

int pidfd_of(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

child child::start(const child_spec& spec) {
  auto with = prepare(spec);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw cannot_start{exit_internal, std::string{"pipe: "} + std::strerror(errno)};
  with.report = ends[1];
  const auto parent = ::getpid();
  const auto pid = ::fork();
  if (pid == 0)
    become(spec, with, parent);
  const int fork_error = errno;
  for (int fd : {ends[1], with.log, with.null})
    ::close(fd);
  int error = pid < 0 ? fork_error : 0;
  if (pid > 0 && ::read(ends[0], &error, sizeof error) != sizeof error)
    error = 0;
  ::close(ends[0]);
  if (error != 0) {
    if (pid > 0)
      ::waitpid(pid, nullptr, 0);
    throw cannot_start{exit_unavailable,
                       "cannot run " + spec.program.string() + ": " + std::strerror(error)};
  }
  return child{pid, pidfd_of(pid), spec.death_signal};
}

child::child(child&& other) noexcept
    : pid_{std::exchange(other.pid_, -1)},
      pidfd_{std::exchange(other.pidfd_, -1)},
      death_signal_{other.death_signal_},
      ended_{other.ended_},
      succeeded_{other.succeeded_} {}

child::~child() {
  if (pid_ > 0 && !ended_)
    stop({death_signal_}, std::chrono::seconds{5});
  if (pidfd_ >= 0)
    ::close(pidfd_);
}

bool child::ended_within(milliseconds patience) {
  if (ended_)
    return true;
  pollfd end{pidfd_, POLLIN, 0};
  (void)::poll(&end, 1, static_cast<int>(patience.count()));  // interrupted: the caller asks again
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_)
    return false;
  ended_ = true;
  succeeded_ = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return true;
}

void child::stop(std::initializer_list<int> signals, milliseconds patience) {
  for (int number : signals) {
    if (ended_within(milliseconds{0}))
      return;
    ::kill(pid_, number);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (auto left = patience; left.count() > 0;
         left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()))
      if (ended_within(left))
        return;
  }
  if (ended_within(milliseconds{0}))
    return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);  // nothing outlives SIGKILL but a process the kernel itself holds
  ended_ = true;
}

std::string tail_of(const std::filesystem::path& log) {
  std::ifstream in{log, std::ios::binary | std::ios::ate};
  if (!in)
    return {};
  constexpr std::streamoff most = 600;
  const auto size = static_cast<std::streamoff>(in.tellg());
  in.seekg(std::max<std::streamoff>(0, size - most));
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (size > most)
    text.erase(0, text.find('\n') + 1);
  while (text.ends_with('\n'))
    text.pop_back();
  return text;
}

}  // namespace kgents::gateway
