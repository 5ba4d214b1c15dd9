#include "runtime/cluster/connector.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

namespace kgents::runtime::cluster {

namespace {

// A name with more addresses than this is no node; the deadline is shared among them.
constexpr size_t max_addresses = 4;

}  // namespace

std::shared_ptr<connector> connector::start(io_thread& thread, std::string host, uint16_t port,
                                            std::chrono::milliseconds within, done_function done) {
  auto out = std::make_shared<connector>(thread, std::move(host), port, within, std::move(done));
  boost::asio::post(thread.context(), [out] { out->resolve(); });
  return out;
}

connector::connector(io_thread& thread, std::string host, uint16_t port,
                     std::chrono::milliseconds within, done_function done)
    : thread_{thread},
      host_{std::move(host)},
      port_{port},
      deadline_{timer_wheel::clock::now() + within},
      done_{std::move(done)},
      resolver_{thread.context()},
      socket_{thread.context()},
      timer_{[this] { fired(); }} {}

void connector::cancel() {
  done_ = nullptr;
  timer_.disarm();
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

void connector::resolve() {
  if (!done_)
    return;
  thread_.wheel().arm(timer_, deadline_ - timer_wheel::clock::now());
  error_code ec;
  const auto address = boost::asio::ip::make_address(host_, ec);
  if (!ec) {  // an address needs no resolver, which would start a thread for it
    addresses_.emplace_back(address, port_);
    return next();
  }
  resolver_.async_resolve(
      host_, std::to_string(port_), resolver::numeric_service,
      [self = shared_from_this()](error_code ec, const resolver::results_type& found) {
        if (!self->done_)
          return;
        if (ec)
          return self->finish("cannot resolve the name: " + ec.message());
        for (const auto& x : found)
          if (self->addresses_.size() < max_addresses)
            self->addresses_.push_back(x.endpoint());
        self->next();
      });
}

// Each address gets an equal part of the time that is left, so that one behind a silent firewall
// does not take it all.
void connector::next() {
  const auto left = deadline_ - timer_wheel::clock::now();
  if (tried_ == addresses_.size() || left <= left.zero())
    return finish(why_);
  thread_.wheel().arm(timer_, left / static_cast<int>(addresses_.size() - tried_));
  try_address();
}

void connector::try_address() {
  error_code ec;
  socket_.close(ec);
  const auto& address = addresses_[tried_++];
  socket_.async_connect(address, [self = shared_from_this(), attempt = tried_](error_code ec) {
    self->connected(ec, attempt);
  });
}

void connector::connected(error_code ec, size_t attempt) {
  if (!done_ || attempt != tried_)
    return;  // cancelled, or its time is over and the next address is being tried
  if (!ec)
    return finish({});
  why_ = ec.message();
  next();
}

void connector::fired() {
  const auto self = shared_from_this();
  why_ = addresses_.empty() ? "no answer from the name server in time" : "no answer in time";
  if (addresses_.empty())
    return finish(why_);
  next();
}

void connector::finish(std::string why) {
  timer_.disarm();
  resolver_.cancel();
  tcp_socket socket{thread_.context()};
  error_code ignored;
  if (why.empty())
    socket = std::move(socket_);
  else
    socket_.close(ignored);
  const auto done = std::exchange(done_, nullptr);
  done(std::move(why), std::move(socket));
}

}  // namespace kgents::runtime::cluster
