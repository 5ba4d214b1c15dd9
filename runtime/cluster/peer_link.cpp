#include "runtime/cluster/peer_link.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cstring>

#include "runtime/cluster/hello.hpp"

namespace kgents::runtime::cluster {

namespace {

constexpr size_t length_bytes = sizeof(uint32_t);
// Of an open link: four full TLS records, and what one system call gives.
constexpr size_t read_buffer_bytes = 64 * 1024;
// Small frames are gathered in strings of this size: a copy of 100 bytes costs less than an
// allocation and two iovecs.
constexpr size_t chunk_bytes = 64 * 1024;
constexpr size_t max_chunks_at_once = 32;
// What one link may read or write before others on the thread get their turn: a millisecond or so.
constexpr size_t turn_bytes = 512 * 1024;
// A stranger's TLS handshake takes a few kilobytes; this much means mischief.
constexpr uint64_t max_stranger_bytes = 128 * 1024;
// A refused peer that is there reads the refusal within a round trip.
constexpr auto linger_for = std::chrono::seconds{1};

uint32_t read_length(const char* x) noexcept {
  std::array<uint8_t, length_bytes> b;
  std::memcpy(b.data(), x, b.size());
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

std::string address_of(const tcp_socket& x) {
  boost::system::error_code ec;
  const auto end = x.remote_endpoint(ec);
  return ec ? "unknown" : end.address().to_string();
}

}  // namespace

peer_link::peer_link(io_thread& thread, std::shared_ptr<const transport_options> options,
                     link_side side, tcp_socket socket, tls_session tls, listener& events)
    : thread_{thread},
      options_{std::move(options)},
      events_{&events},
      stream_{std::move(socket), std::move(tls)},
      address_{address_of(stream_.socket())},
      side_{side},
      timer_{[this] { fired(); }} {
  boost::system::error_code ignored;
  stream_.socket().set_option(boost::asio::ip::tcp::no_delay{true}, ignored);
  // Finds a peer that answers no more also when bytes still arrive from it (a firewall that drops
  // one way).
  const auto patience = static_cast<unsigned>(options_->silent_after.count());
  ::setsockopt(stream_.socket().native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience,
               sizeof(patience));
}

void peer_link::start() {
  thread_.wheel().arm(timer_, options_->hello_within);
  boost::asio::post(thread_.context(), [self = shared_from_this()] { self->readable(); });
}

void peer_link::open() {
  phase_ = phase::open;
  heard_at_ = clock::now();
  thread_.wheel().arm(timer_, options_->ping_every);
}

void peer_link::refuse(std::string last_frame) {
  append(last_frame);
  linger();
}

void peer_link::linger() {
  phase_ = phase::lingering;
  in_.reset();
  in_capacity_ = in_begin_ = in_end_ = 0;
  thread_.wheel().arm(timer_, linger_for);
  schedule_flush();
}

void peer_link::close() {
  phase_ = phase::closed;
  events_ = nullptr;
  timer_.disarm();
  stream_.close();
  out_.clear();
  unsent_ = 0;
}

void peer_link::finish() {
  if (phase_ == phase::open) {
    std::array<iovec, 1> part;
    while (!out_.empty()) {
      part[0] = {out_.front().data() + out_sent_, out_.front().size() - out_sent_};
      const auto result = stream_.write(part);
      sent(result.bytes);
      if (result.status != stream_status::ok)
        break;
    }
    stream_.shutdown_write();
  }
  close();
}

void peer_link::fail(fault what, std::string_view why) {
  if (events_ != nullptr)
    events_->failed(*this, what, why);
}

void peer_link::fired() {
  const auto self = shared_from_this();
  switch (phase_) {
    case phase::securing:
    case phase::greeting:
      return fail(fault::hello, "it did not say hello within " +
                                    std::to_string(options_->hello_within.count()) + " ms");
    case phase::open:
      return keep_alive();
    case phase::lingering: {
      auto* events = events_;
      close();
      return events->gone(*this);
    }
    case phase::closed:
      return;
  }
}

void peer_link::keep_alive() {
  if (clock::now() - heard_at_ >= options_->silent_after) {
    // If this thread was stalled, not the peer, then its bytes wait in the socket.
    read_frames();
    if (phase_ != phase::open)
      return;
    if (clock::now() - heard_at_ >= options_->silent_after)
      return fail(fault::network,
                  "silent for " + std::to_string(options_->silent_after.count()) + " ms");
  }
  if (!spoke_ && out_.empty())
    append({});
  spoke_ = false;
  schedule_flush();
  const auto until_silent = heard_at_ + options_->silent_after - clock::now();
  thread_.wheel().arm(timer_, std::min<clock::duration>(options_->ping_every, until_silent));
}

void peer_link::await_readable() {
  if (awaits_readable_ || phase_ == phase::closed)
    return;
  awaits_readable_ = true;
  stream_.socket().async_wait(tcp_socket::wait_read,
                              [self = shared_from_this()](boost::system::error_code) {
                                self->awaits_readable_ = false;
                                self->readable();  // an error shows there too
                              });
}

void peer_link::readable() {
  switch (phase_) {
    case phase::securing:
      return secure();
    case phase::greeting:
    case phase::open:
      return read_frames();
    case phase::lingering:
      return discard();
    case phase::closed:
      return;
  }
}

void peer_link::secure() {
  const auto result = stream_.handshake();
  switch (result.status) {
    case stream_status::ok:
      phase_ = phase::greeting;
      events_->secured(*this);
      if (phase_ == phase::greeting)
        read_frames();
      return;
    case stream_status::eof:
      return fail(fault::tls, "it closed the connection during the TLS handshake");
    case stream_status::error:
      return fail(fault::tls, stream_.error());
    case stream_status::blocked_read:
    case stream_status::blocked_write:
      if (stream_.received() > max_stranger_bytes)
        return fail(fault::tls, "its TLS handshake is too long");
      return await_readable();
  }
}

void peer_link::read_frames() {
  size_t turn = 0;
  while (turn < turn_bytes) {
    if (!make_room())
      return fail(fault::hello, "its hello is too long");
    const auto result = stream_.read({in_.get() + in_end_, in_capacity_ - in_end_});
    const bool stranger = phase_ == phase::greeting;
    switch (result.status) {
      case stream_status::ok:
        break;
      case stream_status::blocked_read:
      case stream_status::blocked_write:
        if (stranger && stream_.received() > max_stranger_bytes)
          return fail(fault::hello, "it sends much and says no hello");
        return await_readable();
      case stream_status::eof:
        return fail(stranger ? fault::hello : fault::network, "it closed the connection");
      case stream_status::error:
        // TLS 1.3: the side that dials learns only here that its certificate was refused.
        return fail(stranger && stream_.secure() ? fault::tls : fault::network, stream_.error());
    }
    heard_at_ = clock::now();
    options_->figures->bytes_in.fetch_add(result.bytes, std::memory_order_relaxed);
    in_end_ += result.bytes;
    turn += result.bytes;
    if (!take_frames())
      return;
  }
  boost::asio::post(thread_.context(), [self = shared_from_this()] { self->readable(); });
}

// False: the link took another phase than reading.
bool peer_link::take_frames() {
  while (in_end_ - in_begin_ >= length_bytes) {
    const size_t size = read_length(in_.get() + in_begin_);
    const bool first = phase_ == phase::greeting;
    if (first && (size == 0 || size > max_hello_bytes - length_bytes)) {
      fail(fault::hello, describe_stranger(static_cast<uint32_t>(size)));
      return false;
    }
    if (size > options_->max_frame_bytes && !first) {
      fail(fault::protocol, "it announced a frame of " + std::to_string(size) + " bytes, at most " +
                                std::to_string(options_->max_frame_bytes) + " are allowed");
      return false;
    }
    wanted_ = length_bytes + size;
    if (in_end_ - in_begin_ < wanted_)
      return true;
    const std::span<const char> frame{in_.get() + in_begin_ + length_bytes, size};
    in_begin_ += wanted_;
    wanted_ = 0;
    if (first)
      events_->greeted(*this, frame);
    else if (size > 0)
      events_->received(*this, frame);
    if (phase_ != phase::open)
      return false;
  }
  return true;
}

// False: a stranger has filled its small buffer.
bool peer_link::make_room() {
  const bool stranger = phase_ == phase::greeting;
  const size_t usual = stranger ? max_hello_bytes : read_buffer_bytes;
  const size_t waiting = in_end_ - in_begin_;
  if (waiting == 0)
    in_begin_ = in_end_ = 0;
  const size_t capacity = std::max(usual, wanted_);
  const bool resize = in_capacity_ < capacity || (waiting == 0 && in_capacity_ > capacity);
  if (resize) {
    auto larger = std::make_unique_for_overwrite<char[]>(capacity);
    if (waiting > 0)
      std::memcpy(larger.get(), in_.get() + in_begin_, waiting);
    in_ = std::move(larger);
    in_capacity_ = capacity;
  } else if (in_begin_ > 0 && (in_end_ == in_capacity_ || in_begin_ + wanted_ > in_capacity_)) {
    std::memmove(in_.get(), in_.get() + in_begin_, waiting);
  } else {
    return in_end_ < in_capacity_;
  }
  in_begin_ = 0;
  in_end_ = waiting;
  return in_end_ < in_capacity_;
}

void peer_link::discard() {
  std::array<char, 4096> bytes;
  for (;;) {
    const auto n =
        ::recv(stream_.socket().native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return await_readable();
    if (n > 0 && (discarded_ += static_cast<uint64_t>(n)) < max_stranger_bytes)
      continue;
    auto* events = events_;
    close();
    return events->gone(*this);
  }
}

void peer_link::append(std::string_view frame) {
  const size_t size = length_bytes + frame.size();
  // The first string may be partly sent: only finished calls have looked at it, it may still grow.
  if (out_.empty() || out_.back().size() + size > chunk_bytes) {
    out_.push_back(std::exchange(spare_, {}));
    out_.back().clear();
    if (size > chunk_bytes)
      out_.back().reserve(size);
  }
  auto& out = out_.back();
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(static_cast<uint32_t>(frame.size()) >> shift));
  out += frame;
  unsent_ += size;
}

void peer_link::send(std::string_view frame) {
  append(frame);
  above_high_water_ = above_high_water_ || unsent_ > options_->high_water;
  schedule_flush();
}

void peer_link::schedule_flush() {
  if (flush_due_ || awaits_writable_ || phase_ == phase::closed)
    return;
  flush_due_ = true;
  boost::asio::post(thread_.context(), [self = shared_from_this()] {
    self->flush_due_ = false;
    self->flush();
  });
}

void peer_link::await_writable() {
  awaits_writable_ = true;
  stream_.socket().async_wait(tcp_socket::wait_write,
                              [self = shared_from_this()](boost::system::error_code) {
                                self->awaits_writable_ = false;
                                self->flush();
                              });
}

void peer_link::sent(size_t bytes) {
  unsent_ -= bytes;
  options_->figures->bytes_out.fetch_add(bytes, std::memory_order_relaxed);
  spoke_ = spoke_ || bytes > 0;
  out_sent_ += bytes;
  while (!out_.empty() && out_sent_ >= out_.front().size()) {
    out_sent_ -= out_.front().size();
    if (out_.front().capacity() <= 2 * chunk_bytes)
      spare_ = std::move(out_.front());
    out_.pop_front();
  }
}

void peer_link::flush() {
  if (phase_ == phase::closed)
    return;
  std::array<iovec, max_chunks_at_once> parts;
  size_t count = 0;
  size_t turn = 0;
  for (auto it = out_.begin(); it != out_.end() && count < parts.size() && turn < turn_bytes; ++it)
    turn += (parts[count++] = {it->data(), it->size()}).iov_len;
  if (count > 0) {
    parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + out_sent_;
    parts[0].iov_len -= out_sent_;
  }
  const auto result = stream_.write({parts.data(), count});
  sent(result.bytes);
  if (result.status == stream_status::error && phase_ != phase::lingering) {
    // A peer that refused us may have said why before it closed: reading finds that, or the end.
    if (phase_ == phase::greeting)
      return;
    return fail(fault::network, stream_.error());
  }
  if (result.status == stream_status::blocked_write)
    await_writable();
  else if (!out_.empty() && result.status == stream_status::ok)
    schedule_flush();
  else if (phase_ == phase::lingering) {
    stream_.shutdown_write();
    return discard();
  }
  if (above_high_water_ && unsent_ < options_->low_water) {
    above_high_water_ = false;
    if (phase_ == phase::open)
      events_->drained(*this);
  }
}

}  // namespace kgents::runtime::cluster
