#pragma once

#include <libpq-fe.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <random>
#include <string>

namespace kgents::sql {

struct link_options {
  std::string url;  ///< libpq URL or conninfo
  std::string application_name;
  std::chrono::milliseconds connect_timeout;
  std::chrono::milliseconds reconnect_min;
  std::chrono::milliseconds reconnect_max;
};

/// A libpq connection that keeps itself connected, with growing pauses, and never blocks: what a
/// pool's connection and a listener have in common. What goes over it is the heir's.
///
/// Not thread-safe: everything on the io_context's thread. Handlers keep it alive until `end`.
class link : public std::enable_shared_from_this<link> {
public:
  link(boost::asio::io_context& context, link_options options);
  virtual ~link();
  link(const link&) = delete;
  link& operator=(const link&) = delete;

  void start();  ///< begins the first attempt to connect

  [[nodiscard]] bool up() const noexcept { return state_ == state::up; }

protected:
  /// Connected, libpq does not block: false when the heir cannot use it so.
  virtual bool prepare() { return true; }
  /// Up. Reading is under way.
  virtual void connected() = 0;
  virtual void connect_failed() {}  ///< a new attempt is already scheduled
  virtual void readable() = 0;      ///< call `wait_readable` to be called again
  virtual void writable() = 0;

  void wait_readable();
  void wait_writable();

  [[nodiscard]] PGconn* pg() const noexcept { return pg_; }
  /// The next failure waits for the shortest time again.
  void settled() noexcept { failures_ = 0; }
  /// Closes the socket and forgets libpq's state; waits that are under way come to nothing. False
  /// when it was not up.
  bool cut();
  /// After `cut`: another attempt after a pause, which grows when this was a failure.
  void retry_later(bool failed);
  /// For good.
  void end();

private:
  enum class state : uint8_t { down, connecting, up, ended };
  using descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  using timer =
      boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                        boost::asio::wait_traits<std::chrono::steady_clock>,
                                        boost::asio::io_context::executor_type>;

  void connect();
  void poll_connect(uint64_t attempt);
  void established();
  void attempt_failed();
  bool watch_socket();
  void disconnect();

  link_options options_;
  timer timer_;  // back-off while down, connect timeout while connecting
  descriptor socket_;
  PGconn* pg_ = nullptr;
  std::minstd_rand random_;
  uint64_t attempt_ = 0;  // handlers of an earlier socket see that they are late
  unsigned failures_ = 0;
  state state_ = state::down;
};

}  // namespace kgents::sql
