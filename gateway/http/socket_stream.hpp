#pragma once

#include <sys/uio.h>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "gateway/http/tls_context.hpp"

namespace kgents::gateway::http {

/// With the executor's own type: asio's default erases it, for an indirect call per event and more
/// memory per wait.
using tcp_socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

enum class io_status : uint8_t { ok, would_block_read, would_block_write, eof, error };

struct io_result {
  io_status status = io_status::ok;
  size_t bytes = 0;  ///< of `write`: also when the rest would block
};

/// A non-blocking socket, plain or TLS. Only tries; waiting is the connection's business, so that
/// an idle connection has no buffer. Its thread only.
class socket_stream {
public:
  socket_stream(tcp_socket socket, tls_session tls) noexcept
      : socket_{std::move(socket)}, tls_{std::move(tls)} {}

  /// `ok` at once for plain sockets.
  io_result handshake() noexcept;
  io_result read(std::span<char> to) noexcept;
  io_result write(std::span<const iovec> from) noexcept;

  /// Decrypted bytes wait in memory: the socket may never become readable for them.
  [[nodiscard]] bool buffered() const noexcept;

  /// The peer sees the end of our bytes; reading goes on.
  void shutdown_write() noexcept;
  void close() noexcept;

  [[nodiscard]] tcp_socket& socket() noexcept { return socket_; }
  [[nodiscard]] bool secure() const noexcept { return tls_ != nullptr; }
  void limit_send_buffer(int bytes) noexcept;

private:
  io_result tls_failed(int result) noexcept;

  tcp_socket socket_;
  tls_session tls_;
};

}  // namespace kgents::gateway::http
