#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "gateway/http/socket_stream.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::gateway::http {

/// Accepts on one address, on one I/O thread. What it accepts it only hands on: a single acceptor
/// that deals keeps the threads balanced to within one connection, which SO_REUSEPORT's hashing
/// does not.
class listener : public std::enable_shared_from_this<listener> {
public:
  /// A connected, non-blocking socket; the callee owns it.
  using on_accept = std::function<void(int fd, const boost::asio::ip::tcp::endpoint& peer)>;

  listener(runtime::io_thread& thread, on_accept f);

  /// Binds and listens. Throws std::system_error.
  void open(const std::string& host, uint16_t port);
  /// On the thread.
  void run();
  /// On the thread.
  void close();

  [[nodiscard]] uint16_t port() const noexcept { return port_; }

private:
  void wait();
  void accept_all();

  runtime::io_thread& thread_;
  boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, boost::asio::io_context::executor_type>
      acceptor_;
  runtime::wheel_timer pause_;
  on_accept on_accept_;
  uint16_t port_ = 0;
};

}  // namespace kgents::gateway::http
