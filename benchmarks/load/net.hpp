// net.hpp - the little event loop under the benchmark clients: epoll, one 1 ms ticker, non-blocking
// TCP. It is bare on purpose: a client must cost less than the server it measures. One thread.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bench {

// CLOCK_MONOTONIC in nanoseconds: comparable between processes of one machine.
[[nodiscard]] std::uint64_t now_ns();

// Prints `what` (and errno, if set) to standard error and exits with status 1.
[[noreturn]] void die(std::string_view what);

// Raises the soft limit of open files to the hard one.
void raise_descriptor_limit();

// What an epoll registration points to. It must outlive the registration.
class handler {
public:
  virtual ~handler() = default;
  virtual void ready(std::uint32_t events) = 0;
};

class loop {
public:
  loop();
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  void add(int fd, handler& target, std::uint32_t events);
  void modify(int fd, handler& target, std::uint32_t events);
  void remove(int fd);
  // Waits at most `timeout_ms` (-1: for ever) and dispatches what is ready.
  void poll(int timeout_ms);
  // Calls `fn` about every millisecond while the loop is polled. A late tick is not repeated: the
  // callee compares now_ns() with its own schedule.
  void every_millisecond(std::function<void()> fn);

private:
  class ticker;
  int epoll_ = -1;
  ticker* ticker_ = nullptr;
};

struct address {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  // "HOST:PORT", IPv4 only. Anything else ends the program.
  [[nodiscard]] static address parse(std::string_view text);
};

// A non-blocking TCP socket whose connect() has begun. `receive_buffer_bytes` 0 leaves the kernel's
// default; a small one lets a paused reader push back on the server at once.
[[nodiscard]] int connect_to(const address& where, int receive_buffer_bytes = 0);

// A non-blocking listening socket on the loopback interface; port 0 picks a free one. Returns the
// descriptor and stores the port in `port`.
[[nodiscard]] int listen_on(std::uint16_t& port);

// Bytes that wait for a socket that is not writable. `flush` returns false once the peer is gone.
class out_buffer {
public:
  void append(std::string_view bytes) { pending_.append(bytes); }
  [[nodiscard]] bool flush(int fd);
  [[nodiscard]] bool empty() const { return pending_.empty(); }

private:
  std::string pending_;
};

}  // namespace bench
