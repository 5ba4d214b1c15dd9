#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

#include "gateway/http/server.hpp"

/// A server with a scripted application, and a client that says exactly what it is told, for the
/// suites of this folder.
namespace kgents::gateway::http::testing {

inline constexpr int patience_ms = 10'000;

struct answer {
  unsigned status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] bool has(std::string_view line) const { return head.find(line) != head.npos; }
};

/// A blocking socket with a deadline on every wait.
class client {
public:
  explicit client(uint16_t port, int receive_buffer = 0) : fd_{::socket(AF_INET, SOCK_STREAM, 0)} {
    if (receive_buffer > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0)
      throw std::runtime_error{"connect"};
  }
  ~client() { hang_up(); }
  client(const client&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_; }
  client& send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0)
        return *this;  // the server has closed; the test looks at what it said
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return *this;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0)
      ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    hang_up();
  }

  /// More bytes; false at the end of the connection. Throws when nothing comes.
  bool more() {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, patience_ms) != 1)
      throw std::runtime_error{"nothing came"};
    char bytes[65536];
    const auto n = ::recv(fd_, bytes, sizeof(bytes), 0);
    reset_ = reset_ || n < 0;
    if (n <= 0)
      return false;
    in_.append(bytes, static_cast<size_t>(n));
    return true;
  }
  std::string until(std::string_view mark) {
    size_t at = 0;
    while ((at = in_.find(mark)) == in_.npos)
      if (!more())
        throw std::runtime_error{"closed before " + std::string{mark} + ", after " + in_};
    return take(at + mark.size());
  }
  /// The server has cut the connection, so that the client may never have seen the last answer.
  [[nodiscard]] bool was_reset() const noexcept { return reset_; }
  std::string exactly(size_t size) {
    while (in_.size() < size)
      if (!more())
        throw std::runtime_error{"closed early"};
    return take(size);
  }
  /// Everything up to the end of the connection.
  std::string rest() {
    while (more()) {
    }
    return take(in_.size());
  }
  answer response(bool head_only = false) {
    answer x;
    x.head = until("\r\n\r\n");
    x.status = static_cast<unsigned>(std::atoi(x.head.substr(9, 3).c_str()));
    if (const auto at = x.head.find("Content-Length: "); at != x.head.npos && !head_only)
      x.body = exactly(static_cast<size_t>(std::atoll(x.head.c_str() + at + 16)));
    if (x.has("Transfer-Encoding: chunked") && !head_only)
      while (const auto chunk = this->chunk())
        x.body += *chunk;
    return x;
  }
  /// One chunk's data; none for the last.
  std::optional<std::string> chunk() {
    const auto size = std::stoul(until("\r\n"), nullptr, 16);
    auto data = exactly(size);
    if (exactly(2) != "\r\n")
      throw std::runtime_error{"chunk without its end"};
    return size == 0 ? std::nullopt : std::optional{std::move(data)};
  }

private:
  std::string take(size_t size) {
    auto x = in_.substr(0, size);
    in_.erase(0, size);
    return x;
  }

  int fd_;
  std::string in_;
  bool reset_ = false;
};

/// Lets a test wait for what happens on an I/O thread.
template <class T>
class slot {
public:
  void set(T x) {
    const std::lock_guard lock{mutex_};
    value_ = std::move(x);
    changed_.notify_all();
  }
  T get() {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, std::chrono::milliseconds{patience_ms},
                           [this] { return value_.has_value(); }))
      throw std::runtime_error{"it did not happen"};
    return *value_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
};

/// Echoes bodies, answers the rest with what it understood; a test may replace either.
struct scripted : application {
  std::function<void(std::shared_ptr<exchange>)> on_head;
  std::function<void(std::shared_ptr<exchange>)> on_body;

  static response text(unsigned status, std::string body) {
    return {.status = status,
            .content_type = "text/plain",
            .body = std::move(body),
            .header_lines = {}};
  }
  void head(std::shared_ptr<exchange> x) override {
    if (on_head)
      return on_head(std::move(x));
    if (x->in().method == "POST")
      return x->read_body(1024 * 1024);
    x->respond(text(200, x->in().method + " " + x->in().path + " " + x->in().query));
  }
  void body(std::shared_ptr<exchange> x) override {
    if (on_body)
      return on_body(std::move(x));
    x->respond(text(200, x->in().body));
  }
  response refuse(unsigned status, std::string_view why) override {
    return text(status, std::string{why});
  }
  void answered(const exchange&, unsigned) override {}
};

struct fixture {
  explicit fixture(server_options options = {}, size_t thread_count = 1) : threads{thread_count} {
    threads.start();
    it.emplace(std::move(options), threads, app);
  }
  ~fixture() { it.reset(); }

  uint16_t start() {
    if (it->port() == 0)
      it->start();
    return it->port();
  }
  client connect() { return client{start()}; }
  /// One request on a connection of its own.
  answer ask(std::string_view request) {
    client c{start()};
    c.send(request);
    return c.response(request.starts_with("HEAD"));
  }
  /// Runs `f` on the first thread and waits for it.
  void run(const std::function<void()>& f) {
    slot<bool> ran;
    boost::asio::post(threads[0].context(), [&] {
      f();
      ran.set(true);
    });
    ran.get();
  }
  void wait_for(const std::function<bool(server::counts)>& f) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds{patience_ms};
    while (!f(it->open())) {
      if (std::chrono::steady_clock::now() > deadline)
        throw std::runtime_error{"the counts did not come about"};
      std::this_thread::yield();
    }
  }

  runtime::io_threads threads;
  scripted app;
  std::optional<server> it;
};

/// Sends without reading until nothing is taken for a while; how much was.
inline size_t send_until_stuck(client& c, std::string_view what, size_t most) {
  size_t sent = 0;
  pollfd p{c.fd(), POLLOUT, 0};
  while (sent < most && ::poll(&p, 1, 200) == 1) {
    const auto n = ::send(c.fd(), what.data(), what.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
      break;
    sent += static_cast<size_t>(std::max<ssize_t>(n, 0));
  }
  return sent;
}

inline std::string get(std::string_view path = "/", std::string_view lines = {}) {
  return "GET " + std::string{path} + " HTTP/1.1\r\nHost: x\r\n" + std::string{lines} + "\r\n";
}
inline std::string post(std::string_view lines, std::string_view body) {
  return "POST /echo HTTP/1.1\r\nHost: x\r\n" + std::string{lines} + "\r\n" + std::string{body};
}

}  // namespace kgents::gateway::http::testing
