// Everything that goes out in pieces: streams, WebSockets, and what the socket did not take at
// once.
#include <array>
#include <utility>

#include "gateway/http/connection.hpp"

namespace kgents::gateway::http {

namespace {

/// The kernel's share of a streaming connection: a reader that stalls costs this much (twice, by
/// the kernel's count), the rest waits as a cursor.
constexpr int stream_send_buffer_bytes = 64 * 1024;
/// Batches written before other connections get their turn.
constexpr int batches_at_once = 16;

constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace

// Writes what it can and drops that from `out`.
io_status connection::write(pieces& out) {
  std::array<iovec, 256> parts;
  while (!out.empty()) {
    const size_t count = std::min(out.size(), parts.size());
    size_t total = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto bytes = out[i].bytes;
      parts[i] = {const_cast<char*>(bytes.data()), bytes.size()};
      total += bytes.size();
    }
    const auto done = stream_.write({parts.data(), count});
    if (done.bytes == total) {
      if (count == out.size())
        out.clear();
      else
        out.erase(out.begin(), out.begin() + static_cast<ptrdiff_t>(count));
      continue;
    }
    size_t left = done.bytes;
    auto first = out.begin();
    for (; left >= first->bytes.size(); ++first)
      left -= first->bytes.size();
    first->bytes.remove_prefix(left);
    if (done.bytes > 0 && unsent_)
      deadline(home_->server->options.write_timeout);
    out.erase(out.begin(), first);
    return done.status;
  }
  return io_status::ok;
}

connection::sent connection::send(pieces& out) {
  if (unsent_) {
    keep_unsent(out);
    return sent::blocked;
  }
  switch (write(out)) {
    case io_status::ok:
      return sent::all;
    case io_status::would_block_write:
      keep_unsent(out);
      return sent::blocked;
    default:
      return sent::failed;
  }
}

// Waits until the socket takes more.
void connection::keep_unsent(pieces& out) {
  if (unsent_)
    unsent_->insert(unsent_->end(), std::make_move_iterator(out.begin()),
                    std::make_move_iterator(out.end()));
  else
    unsent_ = std::make_unique<pieces>(std::move(out));
  out.clear();
  if (write_armed_)
    return;
  if (phase_ != phase::body)  // whose own deadline runs
    deadline(home_->server->options.write_timeout);
  arm_write();
}

void connection::on_writable() {
  if (phase_ == phase::closed)
    return;
  if (phase_ == phase::handshake)
    return continue_handshake();
  if (std::exchange(read_wants_write_, false))
    on_readable();
  if (!unsent_ || phase_ == phase::closed)
    return;
  const auto status = write(*unsent_);
  if (status == io_status::would_block_write)
    return arm_write();
  if (status != io_status::ok)
    return close(close_reason::peer_gone);
  unsent_.reset();
  switch (phase_) {
    case phase::writing:
      no_deadline();
      return answered();
    case phase::streaming:
      no_deadline();
      return pump();
    case phase::websocket:
      deadline(home_->server->options.ping_interval);
      return pump();
    default:
      return;
  }
}

void connection::queue_head(const response& x, framing how) {
  std::string head;
  append_head(head, x,
              {.how = how,
               .http11 = exchange_->facts().http11,
               .keep_alive = !close_after_,
               .date = home_->date.now()});
  write_batch out;
  out.add(std::move(head));
  if (unsent_)  // a "100 Continue" that is still on its way
    keep_unsent(out.pieces());
  else
    unsent_ = std::make_unique<pieces>(std::move(out.pieces()));
}

void connection::stream(response head, std::shared_ptr<byte_source> source) {
  if (phase_ != phase::answering || !exchange_)
    return source->closed(close_reason::peer_gone);
  prepare_close_after_answer();
  auto& facts = exchange_->facts();
  chunked_ = facts.http11;
  close_after_ = close_after_ || !chunked_;
  if (facts.is_head) {
    // The head that a GET would get, and nothing behind it.
    phase_ = phase::writing;
    status_ = static_cast<uint16_t>(head.status);
    held_ = exchange_->share();
    queue_head(head, chunked_ ? framing::chunked : framing::until_close);
    source->closed(close_reason::finished);
    return on_writable();
  }
  queue_head(head, chunked_ ? framing::chunked : framing::until_close);
  phase_ = phase::streaming;
  ending_ = false;
  source_ = std::move(source);
  home_->server->streams.fetch_add(1, std::memory_order_relaxed);
  stream_.limit_send_buffer(stream_send_buffer_bytes);
  home_->server->app.answered(*exchange_, head.status);
  exchange_->shrink();
  // Not pulled from in here: the application is still setting it up. Head and first frames then go
  // out in one write.
  wake();
}

void connection::upgrade(std::shared_ptr<socket_handler> handler, std::string_view protocol,
                         std::string header_lines) {
  if (phase_ != phase::answering || !exchange_)
    return handler->closed(close_reason::peer_gone);
  auto& facts = exchange_->facts();
  const auto bad = check_handshake(exchange_->in(), facts.http11);
  if (bad.status != 0 || body_) {
    handler->closed(close_reason::finished);
    auto out = bad.status != 0 ? home_->server->app.refuse(bad.status, bad.why)
                               : home_->server->app.refuse(400, "A handshake has no body");
    if (out.status == 426)
      out.header_lines += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    return respond(std::move(out));
  }
  response head{
      .status = 101, .content_type = {}, .body = {}, .header_lines = std::move(header_lines)};
  head.header_lines +=
      "Sec-WebSocket-Accept: " + websocket_accept(exchange_->in().header("sec-websocket-key")) +
      "\r\n";
  if (!protocol.empty())
    head.header_lines += "Sec-WebSocket-Protocol: " + std::string{protocol} + "\r\n";
  close_after_ = true;
  queue_head(head, framing::none);
  phase_ = phase::websocket;
  ending_ = false;
  websocket_ = std::make_unique<websocket_session>(std::move(handler));
  home_->server->sockets.fetch_add(1, std::memory_order_relaxed);
  stream_.limit_send_buffer(stream_send_buffer_bytes);
  home_->server->app.answered(*exchange_, 101);
  exchange_->shrink();
  deadline(home_->server->options.ping_interval);
  wake();
}

void connection::wake() {
  if (queued_ || (phase_ != phase::streaming && phase_ != phase::websocket))
    return;
  queued_ = true;
  home_->ready(shared_from_this());
}

void connection::cut() {
  switch (phase_) {
    case phase::streaming:
      cut_ = true;
      return wake();
    case phase::websocket:
      websocket_->finish();
      return wake();
    default:
      return close(close_reason::finished);
  }
}

byte_source::state connection::pull(write_batch& out) {
  using state = byte_source::state;
  if (ending_)
    return state::end;
  auto now = websocket_ ? websocket_->pull(out) : source_->pull(out, chunked_);
  if (cut_)
    now = state::end;  // this batch was the last
  if (now == state::end) {
    ending_ = true;
    if (!websocket_ && chunked_ && !cut_)
      out.add(nullptr, last_chunk);
  }
  return now;
}

void connection::pump() {
  using state = byte_source::state;
  queued_ = false;
  if (phase_ != phase::streaming && phase_ != phase::websocket)
    return;
  if (unsent_ && write_armed_)
    return;  // on_writable goes on
  auto out = std::exchange(home_->batch, {});
  auto now = state::more;
  bool blocked = false;
  for (int i = 0; i < batches_at_once && now == state::more && !blocked; ++i) {
    if (unsent_) {
      out.pieces() = std::move(*unsent_);
      unsent_.reset();
    }
    now = pull(out);
    if (phase_ == phase::closed)
      return;
    if (out.empty())
      break;
    const auto result = send(out.pieces());
    if (result == sent::failed)
      return close(close_reason::peer_gone);
    blocked = result == sent::blocked;
    out.clear();
  }
  home_->batch = std::move(out);
  if (blocked)
    return;
  if (now == state::end)
    return end_long_answer();
  if (now == state::more)
    wake();
  if (phase_ == phase::websocket)
    continue_input();
  else
    arm_read();  // hears when the peer goes away
}

// The last byte of a stream or WebSocket is with the kernel.
void connection::end_long_answer() {
  auto& server = *home_->server;
  if (auto* x = std::exchange(exchange_, nullptr))
    x->detach(false);
  if (const auto source = std::move(source_)) {
    server.streams.fetch_sub(1, std::memory_order_relaxed);
    source->closed(close_reason::finished);
    return cut_ ? close(close_reason::finished) : next_request();
  }
  const auto websocket = std::move(websocket_);
  server.sockets.fetch_sub(1, std::memory_order_relaxed);
  const auto why = websocket->peer_closed() ? close_reason::peer_gone : close_reason::finished;
  phase_ = phase::lingering;
  websocket->closed(why);
  end_writing(why);
}

}  // namespace kgents::gateway::http
