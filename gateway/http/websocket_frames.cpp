#include "gateway/http/websocket_frames.hpp"

#include <algorithm>
#include <cstring>

namespace kgents::gateway::http {

namespace {

/// A message's buffer is kept for the next one if it is small, so that an idle socket holds little.
constexpr size_t kept_message_bytes = 256;

bool valid_close_code(uint16_t code) noexcept {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace

size_t put_frame_header(char* to, websocket_opcode opcode, size_t payload_bytes) noexcept {
  to[0] = static_cast<char>(0x80 | static_cast<unsigned>(opcode));
  const int extended = payload_bytes < 126 ? 0 : payload_bytes < 65536 ? 2 : 8;
  to[1] = static_cast<char>(extended == 0 ? payload_bytes : extended == 2 ? 126u : 127u);
  for (int i = 0; i < extended; ++i)
    to[2 + i] = static_cast<char>(static_cast<uint64_t>(payload_bytes) >> (8 * (extended - 1 - i)));
  return static_cast<size_t>(2 + extended);
}

bool valid_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p < end) {
    uint64_t eight = 0;
    if (end - p >= 8 && (std::memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0)) {
      p += 8;
      continue;
    }
    if (*p < 0x80) {
      ++p;
      continue;
    }
    // Unicode 15, table 3-7: the second byte excludes overlong forms, surrogates and what is beyond
    // U+10FFFF.
    const unsigned first = *p;
    int more = 0;
    unsigned low = 0x80;
    unsigned high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
      more = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
      more = 2;
      low = first == 0xe0 ? 0xa0 : 0x80;
      high = first == 0xed ? 0x9f : 0xbf;
    } else if (first >= 0xf0 && first <= 0xf4) {
      more = 3;
      low = first == 0xf0 ? 0x90 : 0x80;
      high = first == 0xf4 ? 0x8f : 0xbf;
    } else {
      return false;
    }
    if (end - p <= more || p[1] < low || p[1] > high)
      return false;
    for (int i = 2; i <= more; ++i)
      if ((p[i] & 0xc0) != 0x80)
        return false;
    p += more + 1;
  }
  return true;
}

websocket_decoder::event websocket_decoder::fail(uint16_t code) noexcept {
  code_ = code;
  done_ = true;
  return event::failed;
}

void websocket_decoder::forget_message() {
  delivered_ = false;
  message_.clear();
  if (message_.capacity() > kept_message_bytes)
    std::string{}.swap(message_);
}

websocket_decoder::event websocket_decoder::next(std::string_view& in) {
  if (delivered_)
    forget_message();
  if (done_) {
    in = {};
    return event::need_more;
  }
  if (!in_frame_) {
    if (!take_header(in))
      return done_ ? event::failed : event::need_more;
    if (!begin_frame())
      return event::failed;
  }
  return take_payload(in) ? end_frame() : event::need_more;
}

// True when the header is complete; what is wrong in its first two bytes is refused without waiting
// for the rest.
bool websocket_decoder::take_header(std::string_view& in) {
  const auto wanted = [this] {
    if (header_size_ < 2)
      return 2;
    const unsigned length = header_[1] & 0x7fu;
    return 6 + (length == 126 ? 2 : length == 127 ? 8 : 0);
  };
  while (header_size_ < wanted()) {
    if (in.empty())
      return false;
    header_[header_size_++] = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    if (header_size_ != 2)
      continue;
    const unsigned opcode = header_[0] & 0x0fu;
    const bool control = opcode >= 8;
    const bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    const bool masked = (header_[1] & 0x80) != 0;
    const bool bad_control = control && ((header_[0] & 0x80) == 0 || (header_[1] & 0x7f) > 125);
    const bool bad_order = !control && (opcode == 0) != in_message_;
    if ((header_[0] & 0x70) != 0 || !known || !masked || bad_control || bad_order) {
      fail(websocket_code::protocol_error);
      return false;
    }
    if (opcode == static_cast<unsigned>(websocket_opcode::binary)) {
      fail(websocket_code::unsupported_data);
      return false;
    }
  }
  return true;
}

bool websocket_decoder::begin_frame() {
  const unsigned length = header_[1] & 0x7fu;
  const int extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  uint64_t size = extended == 0 ? length : 0;
  for (int i = 0; i < extended; ++i)
    size = size << 8 | header_[static_cast<size_t>(2 + i)];
  std::copy_n(header_.begin() + 2 + extended, 4, mask_.begin());
  header_size_ = 0;
  // The shortest form is required, and the highest bit of the longest must be zero.
  if ((extended == 2 && size < 126) || (extended == 8 && (size < 65536 || size >> 63 != 0)))
    return fail(websocket_code::protocol_error), false;
  opcode_ = static_cast<websocket_opcode>(header_[0] & 0x0f);
  final_ = (header_[0] & 0x80) != 0;
  is_control_ = opcode_ >= websocket_opcode::close;
  if (is_control_)
    control_size_ = 0;
  else if (size > max_websocket_message_bytes - message_.size())
    return fail(websocket_code::too_big), false;
  payload_left_ = size;
  mask_at_ = 0;
  in_frame_ = true;
  return true;
}

bool websocket_decoder::take_payload(std::string_view& in) {
  const auto n = static_cast<size_t>(std::min<uint64_t>(payload_left_, in.size()));
  char* to = nullptr;
  if (is_control_) {
    to = control_.data() + control_size_;
    control_size_ = static_cast<uint8_t>(control_size_ + n);
  } else {
    const size_t before = message_.size();
    message_.resize(before + n);
    to = message_.data() + before;
  }
  for (size_t i = 0; i < n; ++i)
    to[i] = static_cast<char>(in[i] ^ static_cast<char>(mask_[(mask_at_ + i) & 3]));
  mask_at_ = static_cast<uint8_t>((mask_at_ + n) & 3);
  payload_left_ -= n;
  in.remove_prefix(n);
  return payload_left_ == 0;
}

websocket_decoder::event websocket_decoder::end_frame() {
  in_frame_ = false;
  switch (opcode_) {
    case websocket_opcode::ping:
      return event::ping;
    case websocket_opcode::pong:
      return event::pong;
    case websocket_opcode::close: {
      done_ = true;
      const auto text = payload();
      code_ = websocket_code::none;
      if (text.empty())
        return event::close;
      if (text.size() == 1)
        return fail(websocket_code::protocol_error);
      code_ = static_cast<uint16_t>(static_cast<unsigned char>(text[0]) << 8 |
                                    static_cast<unsigned char>(text[1]));
      if (!valid_close_code(code_))
        return fail(websocket_code::protocol_error);
      return valid_utf8(text.substr(2)) ? event::close : fail(websocket_code::bad_text);
    }
    default:
      in_message_ = !final_;
      if (!final_)
        return event::need_more;
      if (!valid_utf8(message_))
        return fail(websocket_code::bad_text);
      delivered_ = true;
      return event::message;
  }
}

}  // namespace kgents::gateway::http
