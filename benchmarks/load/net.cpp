#include "load/net.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace bench {

std::uint64_t now_ns() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<std::uint64_t>(at.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(at.tv_nsec);
}

void die(std::string_view what) {
  std::fprintf(stderr, "%.*s%s%s\n", static_cast<int>(what.size()), what.data(), errno ? ": " : "",
               errno ? std::strerror(errno) : "");
  std::exit(1);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

class loop::ticker final : public handler {
public:
  explicit ticker(std::function<void()> fn) : fn_(std::move(fn)) {
    fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const itimerspec each{{0, 1'000'000}, {0, 1'000'000}};
    timerfd_settime(fd_, 0, &each, nullptr);
  }
  ~ticker() override { close(fd_); }
  void ready(std::uint32_t) override {
    std::uint64_t ticks = 0;
    if (read(fd_, &ticks, sizeof ticks) > 0)
      fn_();
  }
  [[nodiscard]] int fd() const { return fd_; }

private:
  std::function<void()> fn_;
  int fd_;
};

loop::loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0)
    die("epoll_create1");
}

loop::~loop() {
  delete ticker_;
  close(epoll_);
}

void loop::add(int fd, handler& target, std::uint32_t events) {
  epoll_event event{events, {.ptr = &target}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
    die("epoll_ctl add");
}

void loop::modify(int fd, handler& target, std::uint32_t events) {
  epoll_event event{events, {.ptr = &target}};
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0)
    die("epoll_ctl mod");
}

void loop::remove(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void loop::poll(int timeout_ms) {
  std::array<epoll_event, 1024> events;
  const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < n; ++i)
    static_cast<handler*>(events[static_cast<std::size_t>(i)].data.ptr)
        ->ready(events[static_cast<std::size_t>(i)].events);
}

void loop::every_millisecond(std::function<void()> fn) {
  delete ticker_;
  ticker_ = new ticker(std::move(fn));
  add(ticker_->fd(), *ticker_, EPOLLIN);
}

address address::parse(std::string_view text) {
  address result;
  const auto colon = text.rfind(':');
  const char* end = text.data() + text.size();
  if (colon == std::string_view::npos ||
      std::from_chars(text.data() + colon + 1, end, result.port).ptr != end) {
    errno = 0;
    die("not HOST:PORT: " + std::string(text));
  }
  result.host = text.substr(0, colon);
  return result;
}

namespace {

sockaddr_in socket_address(const address& where) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(where.port);
  if (inet_pton(AF_INET, where.host.c_str(), &result.sin_addr) != 1)
    die("not an IPv4 address: " + where.host);
  return result;
}

}  // namespace

int connect_to(const address& where, int receive_buffer_bytes) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    die("socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (receive_buffer_bytes > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    // Ethernet's segments: one of loopback's 64 KiB would not fit the window, and each window would
    // then wait for a probe timer.
    const int segment_bytes = 1460;
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment_bytes, sizeof segment_bytes);
  }
  const auto to = socket_address(where);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
    die("connect");
  return fd;
}

int listen_on(std::uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  auto at = socket_address({"127.0.0.1", port});
  socklen_t length = sizeof at;
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&at), length) != 0 ||
      listen(fd, 4096) != 0)
    die("listen");
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length);
  port = ntohs(at.sin_port);
  return fd;
}

bool out_buffer::flush(int fd) {
  std::size_t sent = 0;
  bool alive = true;
  while (sent < pending_.size()) {
    const auto n = send(fd, pending_.data() + sent, pending_.size() - sent, MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
    } else {
      alive = errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
      break;
    }
  }
  pending_.erase(0, sent);
  return alive;
}

}  // namespace bench
