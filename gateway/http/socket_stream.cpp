#include "gateway/http/socket_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace kgents::gateway::http {

namespace {

constexpr size_t tls_record_bytes = 16 * 1024;
constexpr size_t max_iovecs = 256;

io_result failed(io_status when_blocked, size_t done = 0) noexcept {
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    return {when_blocked, done};
  return {io_status::error, done};
}

// Sends what `from` holds from byte `offset` on, in one record. The retry after a blocked SSL_write
// gathers the same bytes again, perhaps with more behind them, which
// SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER allows.
size_t gather(std::span<const iovec> from, size_t offset, std::span<char> to) noexcept {
  size_t size = 0;
  for (auto& part : from) {
    if (offset >= part.iov_len) {
      offset -= part.iov_len;
      continue;
    }
    const size_t n = std::min(part.iov_len - offset, to.size() - size);
    std::memcpy(to.data() + size, static_cast<const char*>(part.iov_base) + offset, n);
    size += n;
    offset = 0;
    if (size == to.size())
      break;
  }
  return size;
}

}  // namespace

io_result socket_stream::tls_failed(int result) noexcept {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {io_status::would_block_read};
    case SSL_ERROR_WANT_WRITE:
      return {io_status::would_block_write};
    case SSL_ERROR_ZERO_RETURN:
      return {io_status::eof};
    default:
      ERR_clear_error();
      return {io_status::error};
  }
}

io_result socket_stream::handshake() noexcept {
  if (!tls_)
    return {};
  ERR_clear_error();
  const int result = SSL_accept(tls_.get());
  return result == 1 ? io_result{} : tls_failed(result);
}

io_result socket_stream::read(std::span<char> to) noexcept {
  if (tls_) {
    ERR_clear_error();
    const int n = SSL_read(tls_.get(), to.data(), static_cast<int>(to.size()));
    return n > 0 ? io_result{io_status::ok, static_cast<size_t>(n)} : tls_failed(n);
  }
  for (;;) {
    const auto n = ::recv(socket_.native_handle(), to.data(), to.size(), 0);
    if (n > 0)
      return {io_status::ok, static_cast<size_t>(n)};
    if (n == 0)
      return {io_status::eof};
    if (errno != EINTR)
      return failed(io_status::would_block_read);
  }
}

io_result socket_stream::write(std::span<const iovec> from) noexcept {
  size_t done = 0;
  if (tls_) {
    static thread_local std::array<char, tls_record_bytes> record;
    while (const size_t size = gather(from, done, record)) {
      ERR_clear_error();
      const int n = SSL_write(tls_.get(), record.data(), static_cast<int>(size));
      if (n <= 0)
        return {tls_failed(n).status, done};  // never would_block_read: renegotiation is off
      done += static_cast<size_t>(n);
    }
    return {io_status::ok, done};
  }
  std::array<iovec, max_iovecs> parts;
  while (!from.empty()) {
    // Skips what is done; the first part may be cut.
    const size_t count = std::min(from.size(), parts.size());
    std::copy_n(from.begin(), count, parts.begin());
    size_t first = 0;
    size_t total = 0;
    for (size_t i = 0; i < count; ++i)
      total += parts[i].iov_len;
    for (size_t sent = 0; sent < total;) {
      msghdr message{};
      message.msg_iov = &parts[first];
      message.msg_iovlen = count - first;
      const auto n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
      if (n < 0) {
        if (errno == EINTR)
          continue;
        return failed(io_status::would_block_write, done);
      }
      done += static_cast<size_t>(n);
      sent += static_cast<size_t>(n);
      for (auto left = static_cast<size_t>(n); left > 0;) {
        auto& part = parts[first];
        const size_t cut = std::min(left, part.iov_len);
        part.iov_base = static_cast<char*>(part.iov_base) + cut;
        part.iov_len -= cut;
        left -= cut;
        if (part.iov_len == 0)
          ++first;
      }
    }
    from = from.subspan(count);
  }
  return {io_status::ok, done};
}

bool socket_stream::buffered() const noexcept { return tls_ && SSL_pending(tls_.get()) > 0; }

void socket_stream::limit_send_buffer(int bytes) noexcept {
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

void socket_stream::shutdown_write() noexcept {
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  ::shutdown(socket_.native_handle(), SHUT_WR);
}

void socket_stream::close() noexcept {
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());  // once, without waiting: tells the peer that nothing was cut off
    ERR_clear_error();
    tls_.reset();
  }
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace kgents::gateway::http
