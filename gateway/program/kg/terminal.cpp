#include "gateway/program/kg/terminal.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>

namespace kgents::kg {

namespace {

/// What the server takes as one message, and a little.
constexpr size_t max_line_bytes = 10 * 1024 * 1024;
constexpr size_t max_secret_bytes = 8192;

volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int) { interrupted = 1; }

/// Does not echo while it lives.
class hidden_input {
public:
  hidden_input() : terminal_{::tcgetattr(STDIN_FILENO, &before_) == 0} {
    if (!terminal_)
      return;
    struct sigaction how {};
    how.sa_handler = on_interrupt;  // no SA_RESTART: the read ends
    ::sigaction(SIGINT, &how, &handler_before_);
    auto hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  hidden_input(const hidden_input&) = delete;
  hidden_input& operator=(const hidden_input&) = delete;
  ~hidden_input() {
    if (!terminal_)
      return;
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    ::sigaction(SIGINT, &handler_before_, nullptr);
  }

private:
  termios before_{};
  struct sigaction handler_before_ {};
  const bool terminal_;
};

void without_return(std::string& line) {
  if (line.ends_with('\r'))
    line.pop_back();
}

}  // namespace

line_reader::line_reader(event_loop& loop)
    : loop_{loop}, stopped_fd_{::eventfd(0, EFD_CLOEXEC)}, thread_{[this] { run(); }} {}

line_reader::~line_reader() {
  {
    const std::lock_guard lock{guard_};
    stop_ = true;
  }
  wanted_.notify_one();
  const uint64_t one = 1;
  [[maybe_unused]] const auto told = ::write(stopped_fd_, &one, sizeof one);
  thread_.join();
  ::close(stopped_fd_);
}

void line_reader::ask() {
  if (asked_ || ended_ || line_)
    return;
  asked_ = true;
  {
    const std::lock_guard lock{guard_};
    want_ = true;
  }
  wanted_.notify_one();
}

std::optional<std::string> line_reader::take() {
  auto out = std::move(line_);
  line_.reset();
  return out;
}

bool line_reader::read_more() {
  for (;;) {
    pollfd both[] = {{STDIN_FILENO, POLLIN, 0}, {stopped_fd_, POLLIN, 0}};
    if (::poll(both, 2, -1) < 0 && errno != EINTR)
      return false;
    if ((both[1].revents & POLLIN) != 0)
      return false;
    if (both[0].revents == 0)
      continue;
    char bytes[16 * 1024];
    const auto count = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (count > 0)
      buffer_.append(bytes, static_cast<size_t>(count));
    if (count > 0 || errno != EINTR || count == 0)
      return count > 0 && buffer_.size() <= max_line_bytes;
  }
}

void line_reader::run() {
  for (bool more = true; more;) {
    {
      std::unique_lock lock{guard_};
      wanted_.wait(lock, [this] { return want_ || stop_; });
      if (stop_)
        return;
      want_ = false;
    }
    auto end = buffer_.find('\n');
    while (end == std::string::npos && (more = read_more()))
      end = buffer_.find('\n');
    std::optional<std::string> line;
    if (end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
    } else if (!buffer_.empty()) {
      line = std::exchange(buffer_, {});  // the last one, without an end
    }
    if (line)
      without_return(*line);
    boost::asio::post(loop_.context(), [this, line = std::move(line), more]() mutable {
      asked_ = false;
      line_ = std::move(line);
      ended_ = !more;
    });
  }
}

interrupts::interrupts(event_loop& loop) : signals_{loop.context(), SIGINT} { wait(); }

void interrupts::wait() {
  signals_.async_wait([this](boost::system::error_code ec, int) {
    if (ec)
      return;
    ++count_;
    wait();
  });
}

std::optional<std::string> read_secret(std::string_view prompt) {
  std::string out;
  bool good = false;
  {
    const bool terminal = ::isatty(STDIN_FILENO) == 1;
    const hidden_input hidden;
    if (terminal) [[maybe_unused]]
      const auto shown = ::write(STDERR_FILENO, prompt.data(), prompt.size());
    for (char c = 0; out.size() < max_secret_bytes;) {
      const auto count = ::read(STDIN_FILENO, &c, 1);
      if (count < 0 && errno == EINTR && interrupted == 0)
        continue;
      good = count == 1 || (count == 0 && !out.empty());
      if (count != 1 || c == '\n')
        break;
      out += c;
    }
    if (terminal) [[maybe_unused]]
      const auto ended = ::write(STDERR_FILENO, "\n", 1);
  }
  if (interrupted != 0)
    ::raise(SIGINT);  // as it would have been
  without_return(out);
  return good ? std::optional{std::move(out)} : std::nullopt;
}

}  // namespace kgents::kg
