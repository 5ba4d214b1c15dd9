#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/cluster/peer_stream.hpp"
#include "runtime/cluster/transport.hpp"

namespace kgents::runtime::cluster {

/// One connection to a peer: TLS, frames, pings, deadlines and bounds; who may talk to whom is its
/// listener's business. Its I/O thread only. It lives while it is open or its listener holds it.
class peer_link : public std::enable_shared_from_this<peer_link> {
public:
  /// What an end was about.
  enum class fault : uint8_t {
    tls,       ///< the handshake failed, or certificates were refused
    hello,     ///< no first frame in time, or none that could be one
    protocol,  ///< a frame too long
    network,   ///< closed, silent or broken
  };

  /// Called on the I/O thread, never from within a call of the link's own functions; may call any
  /// of them. A link that has been closed calls nothing.
  class listener {
  public:
    /// TLS is up (at once on plaintext links): the side that dials says hello.
    virtual void secured(peer_link& x) = 0;
    /// The first frame: `open`, `refuse` or `close` the link now.
    virtual void greeted(peer_link& x, std::span<const char> first_frame) = 0;
    virtual void received(peer_link& x, std::span<const char> frame) = 0;
    /// Unsent bytes fell below low water.
    virtual void drained(peer_link& x) = 0;
    /// It can go on no more: `linger` or `close` it now.
    virtual void failed(peer_link& x, fault what, std::string_view why) = 0;
    /// Lingering is over; the link is closed.
    virtual void gone(peer_link& x) = 0;

  protected:
    ~listener() = default;
  };

  peer_link(io_thread& thread, std::shared_ptr<const transport_options> options, link_side side,
            tcp_socket socket, tls_session tls, listener& events);

  void start();
  /// From now on frames of full size are taken and pings are sent.
  void open();
  /// Sends a last frame, then lingers.
  void refuse(std::string last_frame);
  /// Lets the peer read what was sent last: closing with bytes unread would make the kernel drop
  /// it.
  void linger();
  void close();
  /// Gives the kernel what it takes at once, then closes.
  void finish();

  /// Queues a frame; the socket is written later, with what else is queued by then.
  void send(std::string_view frame);
  [[nodiscard]] size_t unsent() const noexcept { return unsent_; }

  [[nodiscard]] bool closed() const noexcept { return phase_ == phase::closed; }
  [[nodiscard]] bool is_open() const noexcept { return phase_ == phase::open; }
  [[nodiscard]] link_side side() const noexcept { return side_; }
  /// Anything at all.
  [[nodiscard]] bool heard() const noexcept { return stream_.received() > 0; }
  /// Of the other end, without its port.
  [[nodiscard]] const std::string& address() const noexcept { return address_; }

  /// The listener's notes on it: who it is, and whether it was told that it is up.
  node_id peer;
  bool announced = false;

private:
  using clock = timer_wheel::clock;
  enum class phase : uint8_t { securing, greeting, open, lingering, closed };

  void fired();
  void keep_alive();
  void readable();
  void secure();
  void read_frames();
  bool take_frames();
  bool make_room();
  void discard();
  void await_readable();
  void schedule_flush();
  void flush();
  void sent(size_t bytes);
  void await_writable();
  void append(std::string_view frame);
  void fail(fault what, std::string_view why);

  io_thread& thread_;
  std::shared_ptr<const transport_options> options_;
  listener* events_;
  peer_stream stream_;
  std::string address_;
  link_side side_;
  phase phase_ = phase::securing;
  wheel_timer timer_;

  std::unique_ptr<char[]> in_;  // bytes from in_begin_ to in_end_ are read and not yet taken
  size_t in_capacity_ = 0;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  size_t wanted_ = 0;  // bytes of the frame being read, with its length
  clock::time_point heard_at_{};
  uint64_t discarded_ = 0;
  bool awaits_readable_ = false;

  std::deque<std::string> out_;  // small frames share a string
  std::string spare_;            // the last one that was sent, for its memory
  size_t out_sent_ = 0;          // bytes of the first one that are sent
  size_t unsent_ = 0;
  bool above_high_water_ = false;
  bool spoke_ = false;  // since the last look of `keep_alive`
  bool awaits_writable_ = false;
  bool flush_due_ = false;
};

}  // namespace kgents::runtime::cluster
