#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kgents::gateway::http {

/// RFC 6455 section 5.2.
enum class websocket_opcode : uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

/// Close codes we send (RFC 6455 section 7.4.1, design.md section 10).
namespace websocket_code {
inline constexpr uint16_t normal = 1000;
inline constexpr uint16_t protocol_error = 1002;
inline constexpr uint16_t unsupported_data = 1003;
inline constexpr uint16_t none = 1005;  ///< never on the wire
inline constexpr uint16_t bad_text = 1007;
inline constexpr uint16_t policy = 1008;
inline constexpr uint16_t too_big = 1009;
inline constexpr uint16_t restart = 1012;
}  // namespace websocket_code

/// Largest message and frame of a client (design.md section 10).
inline constexpr size_t max_websocket_message_bytes = 1024 * 1024;

/// Longest header of a server's frame, which has no mask.
inline constexpr size_t max_frame_header_bytes = 10;

/// Writes the header of a whole, unmasked frame; returns its length.
size_t put_frame_header(char* to, websocket_opcode opcode, size_t payload_bytes) noexcept;

[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;

/// Decodes a client's frames and puts messages together. Why not Beast's websocket stream: it sends
/// one message per write, and a reader that lags must catch up in larger ones; it also holds 6 KB
/// per idle connection (measured).
class websocket_decoder {
public:
  enum class event : uint8_t { need_more, message, ping, pong, close, failed };

  /// Takes bytes from `in` up to the next event. After `close` or `failed` nothing more is decoded.
  event next(std::string_view& in);

  /// Text of the message, or payload of the control frame; until the next call.
  [[nodiscard]] std::string_view payload() const noexcept {
    return is_control_ ? std::string_view{control_.data(), control_size_}
                       : std::string_view{message_};
  }
  /// Of `close`: what the peer said (`none` when nothing); of `failed`: what we close with.
  [[nodiscard]] uint16_t code() const noexcept { return code_; }

private:
  bool take_header(std::string_view& in);
  bool begin_frame();
  bool take_payload(std::string_view& in);
  event end_frame();
  event fail(uint16_t code) noexcept;
  void forget_message();

  std::string message_;
  std::array<char, 125> control_;
  std::array<unsigned char, 14> header_;
  uint64_t payload_left_ = 0;
  std::array<unsigned char, 4> mask_;
  uint16_t code_ = 0;
  uint8_t header_size_ = 0;
  uint8_t control_size_ = 0;
  uint8_t mask_at_ = 0;
  websocket_opcode opcode_ = websocket_opcode::continuation;
  bool final_ = false;
  bool in_frame_ = false;
  bool in_message_ = false;  // fragments of one have come
  bool is_control_ = false;
  bool delivered_ = false;  // message_ was handed out
  bool done_ = false;
};

}  // namespace kgents::gateway::http
