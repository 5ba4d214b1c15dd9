#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "gateway/http/exchange.hpp"

namespace kgents::gateway::http {

struct server_options {
  std::string host = "127.0.0.1";
  uint16_t port = 0;          ///< 0: any free one
  std::string tls_cert = {};  ///< PEM chain; empty: plain HTTP
  std::string tls_key = {};
  size_t max_header_bytes = 16 * 1024;  ///< request line and headers together; beyond: 431
  size_t max_body_bytes = 10 * 1024 * 1024;
  size_t max_connections = 20'000;  ///< beyond: 503 and closed
  std::chrono::milliseconds header_timeout{
      10'000};  ///< from the first byte (or accept) to the end of the head: 408
  std::chrono::milliseconds body_timeout{30'000};  ///< for the whole body: 408
  std::chrono::milliseconds idle_timeout{75'000};  ///< between requests: closed silently
  std::chrono::milliseconds write_timeout{
      30'000};  ///< no progress while something waits to be written: closed
  std::chrono::milliseconds ping_interval{20'000};  ///< WebSocket pings; two unanswered: closed
};

/// An HTTP/1.1 server (RFC 9112) on the node's I/O threads. Connections are dealt to the threads in
/// turn and stay.
class server {
public:
  server(server_options options, runtime::io_threads& threads, application& app);
  ~server();

  /// Binds and accepts. Throws std::system_error / std::runtime_error that says what is wrong
  /// (address in use, unreadable certificate).
  void start();

  [[nodiscard]] uint16_t port() const noexcept;

  /// Loads certificate and key anew (SIGHUP); the old ones stay when the files are bad: returns
  /// why.
  std::string reload_tls();

  /// Stops accepting; idle connections close; others close after their current answer.
  void stop_accepting();

  /// Ends every connection now; open streams hear `closed(server_stopping)`.
  void stop();

  struct counts {
    size_t connections = 0;
    size_t streams = 0;
    size_t sockets = 0;
  };
  [[nodiscard]] counts open() const noexcept;

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::gateway::http
