#include "runtime/cluster/peer_stream.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

namespace kgents::runtime::cluster {

namespace {

// What one system call moves: larger ones gain nothing (the kernel's loopback takes 64 KiB at
// once).
constexpr size_t burst_bytes = 64 * 1024;
constexpr size_t max_iovecs = 64;
// Answers to a peer's key updates and the like that it does not take: a hostile one.
constexpr size_t max_cipher_backlog = 4 * burst_bytes;

using burst = std::array<char, burst_bytes>;

// One for all links of a thread: nothing stays in it between calls.
burst& scratch() {
  static thread_local burst x;
  return x;
}

std::string_view describe(int reason) noexcept {
  if (reason >= SSL_AD_REASON_OFFSET)
    return "it refused this node's certificate or offer: ";
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_UNSUPPORTED_PROTOCOL:
      return "it does not speak TLS 1.3, which this node's peer link requires: ";
    default:
      return "TLS: ";
  }
}

size_t gather(std::span<const iovec> from, size_t offset, std::span<char> to) noexcept {
  size_t size = 0;
  for (const auto& part : from) {
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

peer_stream::peer_stream(tcp_socket socket, tls_session tls) noexcept
    : socket_{std::move(socket)}, tls_{std::move(tls)} {
  boost::system::error_code ignored;  // cannot fail on an open socket; if it is not, reading tells
  socket_.non_blocking(true, ignored);
}

stream_result peer_stream::failed_call(const char* what) {
  error_ = std::string{what} + std::system_category().message(errno);
  return {stream_status::error};
}

stream_result peer_stream::failed_tls(int why) {
  const auto verified = SSL_get_verify_result(tls_.get());
  const auto code = ERR_peek_error();
  const char* reason = ERR_reason_error_string(code);
  if (verified != X509_V_OK)
    error_ = std::string{"its certificate was refused: "} + X509_verify_cert_error_string(verified);
  else if (reason != nullptr)
    error_ = std::string{describe(ERR_GET_REASON(code))} + reason;
  else
    error_ = "TLS failed with code " + std::to_string(why);
  ERR_clear_error();
  return {stream_status::error};
}

stream_result peer_stream::receive(std::span<char> to) {
  for (;;) {
    const auto n = ::recv(socket_.native_handle(), to.data(), to.size(), 0);
    if (n > 0) {
      received_ += static_cast<uint64_t>(n);
      return {stream_status::ok, static_cast<size_t>(n)};
    }
    if (n == 0)
      return {stream_status::eof};
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      return {stream_status::blocked_read};
    if (errno != EINTR)
      return failed_call("reading: ");
  }
}

// From the socket into OpenSSL's memory.
stream_result peer_stream::fill() {
  const auto got = receive(scratch());
  if (got.status == stream_status::ok)
    BIO_write(SSL_get_rbio(tls_.get()), scratch().data(), static_cast<int>(got.bytes));
  return got;
}

// From OpenSSL's memory to the socket.
stream_result peer_stream::push() {
  auto* out = SSL_get_wbio(tls_.get());
  for (;;) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out, &bytes);
    if (size <= 0)
      return {};
    const auto n = ::send(socket_.native_handle(), bytes, static_cast<size_t>(size), MSG_NOSIGNAL);
    if (n >= 0) {
      // Moves the read position; the memory is used again when all of it has been read.
      for (auto left = static_cast<size_t>(n); left > 0;)
        left -= static_cast<size_t>(
            BIO_read(out, scratch().data(), static_cast<int>(std::min(left, scratch().size()))));
      continue;
    }
    if (errno == EINTR)
      continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
      return failed_call("writing: ");
    if (static_cast<size_t>(size) > max_cipher_backlog) {
      error_ = "it asks for answers and does not read them";
      return {stream_status::error};
    }
    return {stream_status::blocked_write};
  }
}

stream_result peer_stream::handshake() {
  if (!tls_)
    return {};
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(tls_.get());
    const int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls_.get(), result);
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ) {
      const auto out = failed_tls(why);
      auto kept = std::move(error_);
      push();  // the alert that tells the peer
      error_ = std::move(kept);
      return out;
    }
    // What is left of a flight goes with the next write; it fits the socket's empty buffer anyway.
    if (const auto pushed = push(); pushed.status == stream_status::error)
      return pushed;
    if (why == SSL_ERROR_NONE)
      return {};
    if (const auto got = fill(); got.status != stream_status::ok)
      return got;
  }
}

stream_result peer_stream::read(std::span<char> to) {
  if (!tls_)
    return receive(to);
  for (;;) {
    ERR_clear_error();
    const int n = SSL_read(tls_.get(), to.data(), static_cast<int>(to.size()));
    if (n > 0)
      return {stream_status::ok, static_cast<size_t>(n)};
    const int why = SSL_get_error(tls_.get(), n);
    if (why == SSL_ERROR_ZERO_RETURN)
      return {stream_status::eof};
    if (why != SSL_ERROR_WANT_READ)
      return failed_tls(why);
    if (const auto pushed = push(); pushed.status == stream_status::error)
      return pushed;
    if (const auto got = fill(); got.status != stream_status::ok)
      return got;
  }
}

stream_result peer_stream::write(std::span<const iovec> from) {
  if (!tls_)
    return send_plain(from);
  size_t done = 0;
  for (;;) {
    if (const auto pushed = push(); pushed.status != stream_status::ok)
      return {pushed.status, done};
    const size_t size = gather(from, done, scratch());
    if (size == 0)
      return {stream_status::ok, done};
    ERR_clear_error();
    const int n = SSL_write(tls_.get(), scratch().data(), static_cast<int>(size));
    if (n <= 0)  // memory takes everything: this is no full buffer
      return failed_tls(SSL_get_error(tls_.get(), n));
    done += static_cast<size_t>(n);
  }
}

stream_result peer_stream::send_plain(std::span<const iovec> from) {
  std::array<iovec, max_iovecs> parts;
  size_t done = 0;
  size_t skip = 0;  // bytes of from.front() that are sent
  while (!from.empty()) {
    const size_t count = std::min(from.size(), parts.size());
    std::copy_n(from.begin(), count, parts.begin());
    parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + skip;
    parts[0].iov_len -= skip;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const auto n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR)
        continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK)
        return {stream_status::blocked_write, done};
      return {failed_call("writing: ").status, done};
    }
    done += static_cast<size_t>(n);
    skip += static_cast<size_t>(n);
    while (!from.empty() && skip >= from.front().iov_len) {
      skip -= from.front().iov_len;
      from = from.subspan(1);
    }
  }
  return {stream_status::ok, done};
}

void peer_stream::shutdown_write() {
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
    ERR_clear_error();
    push();
  }
  ::shutdown(socket_.native_handle(), SHUT_WR);
}

void peer_stream::close() noexcept {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace kgents::runtime::cluster
