#pragma once

#include <sys/uio.h>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/cluster/tls.hpp"

namespace kgents::runtime::cluster {

using tcp_socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

/// `blocked_read` and `blocked_write`: try again when the socket is readable or writable.
enum class stream_status : uint8_t { ok, blocked_read, blocked_write, eof, error };

struct stream_result {
  stream_status status = stream_status::ok;
  size_t bytes = 0;  ///< of `write`: also when the rest would block
};

/// A non-blocking socket, plain or TLS. It only tries; waiting is the link's business. Its I/O
/// thread only.
class peer_stream {
public:
  /// The socket is connected; it is made non-blocking here.
  peer_stream(tcp_socket socket, tls_session tls) noexcept;

  /// `ok` at once on plain sockets.
  stream_result handshake();
  stream_result read(std::span<char> to);
  /// With TLS, bytes that are encrypted count as written and may still wait in memory, 64 KiB at
  /// most; then it is `blocked_write`, perhaps with nothing left to give: call again.
  stream_result write(std::span<const iovec> from);
  /// Sends our end, after what was written.
  void shutdown_write();
  void close() noexcept;

  /// What went wrong, once something returned `error`.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  [[nodiscard]] bool secure() const noexcept { return tls_ != nullptr; }
  /// Bytes of the network read so far, encrypted or not.
  [[nodiscard]] uint64_t received() const noexcept { return received_; }
  [[nodiscard]] tcp_socket& socket() noexcept { return socket_; }

private:
  stream_result fill();
  stream_result push();
  stream_result failed_call(const char* what);
  stream_result failed_tls(int why);
  stream_result receive(std::span<char> to);
  stream_result send_plain(std::span<const iovec> from);

  tcp_socket socket_;
  tls_session tls_;
  uint64_t received_ = 0;
  std::string error_;
};

}  // namespace kgents::runtime::cluster
