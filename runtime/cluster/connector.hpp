#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cluster/peer_stream.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::runtime::cluster {

/// One attempt to connect to a host, name resolution and all its addresses included. Its I/O thread
/// only.
class connector : public std::enable_shared_from_this<connector> {
public:
  /// `why` is empty and the socket open, or not.
  using done_function = std::function<void(std::string why, tcp_socket socket)>;

  /// `done` is called once, later, unless `cancel` is called before.
  static std::shared_ptr<connector> start(io_thread& thread, std::string host, uint16_t port,
                                          std::chrono::milliseconds within, done_function done);

  /// `start` is how to make one.
  connector(io_thread& thread, std::string host, uint16_t port, std::chrono::milliseconds within,
            done_function done);

  void cancel();

private:
  using tcp = boost::asio::ip::tcp;
  using error_code = boost::system::error_code;
  using resolver = boost::asio::ip::basic_resolver<tcp, boost::asio::io_context::executor_type>;

  void resolve();
  void next();
  void try_address();
  void connected(error_code ec, size_t attempt);
  void fired();
  void finish(std::string why);

  io_thread& thread_;
  std::string host_;
  uint16_t port_;
  timer_wheel::clock::time_point deadline_;
  done_function done_;
  resolver resolver_;
  tcp_socket socket_;
  wheel_timer timer_;
  std::vector<tcp::endpoint> addresses_;
  size_t tried_ = 0;
  std::string why_ = "no answer";
};

}  // namespace kgents::runtime::cluster
