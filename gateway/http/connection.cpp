#include "gateway/http/connection.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace kgents::gateway::http {

namespace {

/// Bytes of following requests that are taken while an answer is made; then the socket is not read.
constexpr size_t max_pipelined_bytes = 64 * 1024;

}  // namespace

connection::connection(std::shared_ptr<thread_state> home, socket_stream stream, std::string peer)
    : home_{std::move(home)}, stream_{std::move(stream)}, peer_{std::move(peer)} {
  timer_.on_fire([this] { on_timer(); });
}

connection::~connection() = default;

void connection::start() {
  self_ = shared_from_this();
  home_->add(*this);
  deadline(home_->server->options.header_timeout);
  continue_handshake();
}

void connection::start_refusing() {
  refusing_ = true;
  start();
}

void connection::continue_handshake() {
  switch (stream_.handshake().status) {
    case io_status::ok:
      phase_ = phase::head;
      if (refusing_)
        return refuse(503, "Too many connections");
      return on_readable();  // the request is often there already
    case io_status::would_block_read:
      return arm_read();
    case io_status::would_block_write:
      return arm_write();
    default:
      return close(close_reason::peer_gone);
  }
}

void connection::close(close_reason why) {
  if (phase_ == phase::closed)
    return;
  const auto keep = std::move(self_);
  auto& server = *home_->server;
  phase_ = phase::closed;
  timer_.disarm();
  stream_.close();
  home_->remove(*this);
  server.connections.fetch_sub(1, std::memory_order_relaxed);
  unsent_.reset();
  std::string{}.swap(pending_);
  const auto source = std::move(source_);
  const auto websocket = std::move(websocket_);
  const auto held = std::move(held_);
  if (auto* x = std::exchange(exchange_, nullptr))
    x->detach(true);
  if (source) {
    server.streams.fetch_sub(1, std::memory_order_relaxed);
    source->closed(why);
  }
  if (websocket) {
    server.sockets.fetch_sub(1, std::memory_order_relaxed);
    websocket->closed(why);
  }
}

void connection::deadline(clock::duration delay) {
  const auto now = clock::now();
  deadline_ = now + delay;
  if (timer_.armed() && alarm_ <= deadline_)
    return;
  alarm_ = deadline_;
  home_->thread.wheel().arm(timer_, delay, now);
}

void connection::on_timer() {
  if (deadline_ == clock::time_point::max() || phase_ == phase::closed)
    return;
  const auto now = clock::now();
  if (now < deadline_) {
    alarm_ = deadline_;
    return home_->thread.wheel().arm(timer_, deadline_ - now, now);
  }
  const auto keep = shared_from_this();
  no_deadline();
  if (unsent_ && write_armed_)
    return close(close_reason::write_timeout);
  switch (phase_) {
    case phase::head:
      // One that never began, or was kept alive in vain, is closed without a word: a client that is
      // just about to send must not take our 408 for the answer.
      return scanner_.started() ? refuse(408, "The request's head came too slowly")
                                : close(close_reason::finished);
    case phase::body:
      return refuse(408, "The request's body came too slowly");
    case phase::websocket:
      websocket_->tick();
      deadline(home_->server->options.ping_interval);
      return pump();
    case phase::streaming:
    case phase::answering:
    case phase::closed:
      return;
    default:
      return close(close_reason::peer_gone);
  }
}

void connection::arm_read() {
  if (reading_armed_ || read_closed_ || phase_ == phase::closed)
    return;
  const bool request_in_hand =
      phase_ == phase::answering || phase_ == phase::writing || phase_ == phase::streaming;
  if (request_in_hand && pending_.size() >= max_pipelined_bytes)
    return;
  // A peer that does not read our answers is not read either.
  if (phase_ == phase::websocket && (unsent_ || !pending_.empty()))
    return;
  reading_armed_ = true;
  if (stream_.buffered())
    return boost::asio::post(home_->thread.context(), [self = shared_from_this()] {
      self->reading_armed_ = false;
      self->on_readable();
    });
  stream_.socket().async_wait(tcp_socket::wait_read,
                              [self = shared_from_this()](boost::system::error_code ec) {
                                self->reading_armed_ = false;
                                if (!ec)
                                  self->on_readable();
                              });
}

void connection::arm_write() {
  if (write_armed_ || phase_ == phase::closed)
    return;
  write_armed_ = true;
  stream_.socket().async_wait(tcp_socket::wait_write,
                              [self = shared_from_this()](boost::system::error_code ec) {
                                self->write_armed_ = false;
                                if (!ec)
                                  self->on_writable();
                              });
}

void connection::on_readable() {
  if (phase_ == phase::closed)
    return;
  if (phase_ == phase::handshake)
    return continue_handshake();
  auto& input = home_->input;
  const bool request_in_hand =
      phase_ == phase::answering || phase_ == phase::writing || phase_ == phase::streaming;
  const size_t room = request_in_hand
                          ? max_pipelined_bytes - std::min(max_pipelined_bytes, pending_.size())
                          : input.size();
  if (room == 0)
    return;
  const auto got = stream_.read({input.data(), room});
  switch (got.status) {
    case io_status::ok:
      if (request_in_hand)
        pending_.append(input.data(), got.bytes);
      else
        feed({input.data(), got.bytes});
      return arm_read();
    case io_status::would_block_read:
      return arm_read();
    case io_status::would_block_write:
      read_wants_write_ = true;
      return arm_write();
    case io_status::eof:
      read_closed_ = true;
      return peer_closed();
    case io_status::error:
      return close(close_reason::peer_gone);
  }
}

void connection::peer_closed() {
  switch (phase_) {
    case phase::answering:
    case phase::writing:
      // It may have closed its side only, and still reads the answer (RFC 9112 section 9.6).
      if (exchange_)
        exchange_->peer_closed();
      return;
    default:
      return close(close_reason::peer_gone);
  }
}

// Takes new bytes behind those that are pending; keeps what cannot be used yet.
void connection::feed(std::string_view in) {
  if (pending_.empty()) {
    consume(in);
    if (phase_ != phase::closed && !in.empty())
      pending_.assign(in);
    return;
  }
  pending_.append(in);
  continue_input();
}

void connection::continue_input() {
  if (consuming_ || phase_ == phase::closed)
    return;
  if (!pending_.empty()) {
    auto bytes = std::exchange(pending_, {});
    std::string_view in{bytes};
    consume(in);
    if (phase_ == phase::closed)
      return;
    if (!in.empty()) {
      bytes.erase(0, bytes.size() - in.size());
      pending_ = std::move(bytes);
    }
  }
  // The peer has closed, and what it sent before that is no whole request.
  if (read_closed_ && (phase_ == phase::head || phase_ == phase::body || phase_ == phase::draining))
    return close(close_reason::peer_gone);
  arm_read();
}

void connection::close_if_idle() {
  if (phase_ == phase::handshake || (phase_ == phase::head && !scanner_.started()))
    close(close_reason::finished);
}

void connection::stop() {
  if (websocket_ && !unsent_) {
    // One attempt: the peer learns that it may come back elsewhere.
    websocket_->close(websocket_code::restart, "server stopping");
    write_batch out;
    websocket_->pull(out);
    write(out.pieces());
  }
  close(close_reason::server_stopping);
}

}  // namespace kgents::gateway::http
