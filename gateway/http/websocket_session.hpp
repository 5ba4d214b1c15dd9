#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/http/exchange.hpp"
#include "gateway/http/websocket_frames.hpp"

namespace kgents::gateway::http {

/// Why a handshake is none: 400, or 426 with the version we speak; status 0: it is one.
struct handshake_refusal {
  unsigned status = 0;
  std::string_view why;
};
[[nodiscard]] handshake_refusal check_handshake(const request& x, bool http11) noexcept;

/// `Sec-WebSocket-Accept` for a client's key (RFC 6455 section 4.2.2).
[[nodiscard]] std::string websocket_accept(std::string_view key);

/// One open WebSocket between its connection, which moves bytes, and its handler, which speaks
/// messages: frames, pings, the close handshake. No I/O; on the connection's thread.
class websocket_session {
public:
  explicit websocket_session(std::shared_ptr<socket_handler> handler) noexcept
      : handler_{std::move(handler)} {}

  /// Decodes and delivers; stops after some messages so that a flood is answered as it goes. What
  /// is left of `in` is to be offered again after the next `pull`.
  void take(std::string_view& in);

  /// Whole frames. `end`: the close frame is among them (or was sent), nothing follows.
  byte_source::state pull(write_batch& out);

  /// A close frame goes out after what is queued; the first call wins.
  void close(uint16_t code, std::string reason);
  /// Closes with the handler's code after one more batch of its messages.
  void finish() noexcept { finishing_ = true; }

  /// A ping interval has passed: sends a ping, or closes when two went unanswered.
  void tick();

  [[nodiscard]] bool opened() const noexcept { return opened_; }
  /// Something other than the handler's messages is to be sent.
  [[nodiscard]] bool has_control() const noexcept { return pong_due_ || ping_due_ || close_due_; }
  [[nodiscard]] bool peer_closed() const noexcept { return peer_closed_; }

  void closed(close_reason why) { handler_->closed(why); }

private:
  void close_by_handler();
  void add_control(write_batch& out, websocket_opcode opcode, std::string_view payload);

  std::shared_ptr<socket_handler> handler_;
  websocket_decoder decoder_;
  std::string pong_;  // payload of the latest ping; RFC 6455 section 5.5.3 lets us answer only that
  std::string reason_;
  uint16_t code_ = 0;
  uint8_t unanswered_pings_ = 0;
  bool opened_ = false;
  bool finishing_ = false;
  bool pong_due_ = false;
  bool ping_due_ = false;
  bool close_due_ = false;
  bool close_sent_ = false;
  bool peer_closed_ = false;
};

}  // namespace kgents::gateway::http
