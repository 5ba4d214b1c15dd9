#include "gateway/http/listener.hpp"

#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace kgents::gateway::http {

namespace {

using boost::asio::ip::tcp;

/// Accepted in one go before other handlers of the thread get their turn.
constexpr int accepted_at_once = 64;
/// Out of descriptors or memory: the backlog waits rather than the thread spins.
constexpr auto pause_when_exhausted = std::chrono::milliseconds{50};
constexpr int backlog = 4096;

tcp::endpoint resolve(boost::asio::io_context& context, const std::string& host, uint16_t port) {
  boost::system::error_code ec;
  if (const auto address = boost::asio::ip::make_address(host, ec); !ec)
    return {address, port};
  tcp::resolver resolver{context};
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, ec);
  if (ec || found.empty())
    throw std::system_error{ec, "cannot resolve the address to listen on, " + host};
  return *found.begin();
}

}  // namespace

listener::listener(runtime::io_thread& thread, on_accept f)
    : thread_{thread}, acceptor_{thread.context()}, on_accept_{std::move(f)} {
  pause_.on_fire([this] { wait(); });
}

void listener::open(const std::string& host, uint16_t port) {
  const auto at = resolve(thread_.context(), host, port);
  boost::system::error_code ec;
  acceptor_.open(at.protocol(), ec);
  if (!ec)
    acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec)
    acceptor_.bind(at, ec);
  if (!ec)
    acceptor_.listen(backlog, ec);
  if (!ec)
    acceptor_.non_blocking(true, ec);
  if (ec)
    throw std::system_error{ec, "cannot listen on " + host + ":" + std::to_string(port)};
  port_ = acceptor_.local_endpoint().port();
}

void listener::run() { wait(); }

void listener::close() {
  pause_.disarm();
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

void listener::wait() {
  if (!acceptor_.is_open())
    return;
  acceptor_.async_wait(tcp::acceptor::wait_read,
                       [self = shared_from_this()](boost::system::error_code ec) {
                         if (!ec)
                           self->accept_all();
                       });
}

void listener::accept_all() {
  for (int i = 0; i < accepted_at_once && acceptor_.is_open(); ++i) {
    tcp::endpoint peer;
    auto size = static_cast<socklen_t>(peer.capacity());
    const int fd =
        ::accept4(acceptor_.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      peer.resize(size);
      on_accept_(fd, peer);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      break;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
      return thread_.wheel().arm(pause_, pause_when_exhausted);
    // Anything else concerns one connection that is gone already.
  }
  wait();
}

}  // namespace kgents::gateway::http
