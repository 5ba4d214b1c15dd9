#include "gateway/http/websocket_session.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <utility>

namespace kgents::gateway::http {

namespace {

/// Messages delivered before the answers to them are pulled.
constexpr int messages_at_once = 32;
constexpr uint8_t pings_unanswered = 2;
constexpr size_t max_close_reason_bytes = 123;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Whether one of the comma-separated tokens of any such header is `token` (lower case).
bool has_token(const request& x, std::string_view header, std::string_view token) noexcept {
  for (auto& [name, value] : x.headers) {
    if (name != header)
      continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      auto item = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), item.size() + 1));
      item.remove_prefix(std::min(item.size(), item.find_first_not_of(" \t")));
      item = item.substr(0, item.find_last_not_of(" \t") + 1);
      if (std::equal(item.begin(), item.end(), token.begin(), token.end(),
                     [](char a, char b) { return lower(a) == b; }))
        return true;
    }
  }
  return false;
}

// Base64 of 16 bytes: 22 characters and "==".
bool valid_key(std::string_view key) noexcept {
  return key.size() == 24 && key.ends_with("==") &&
         std::all_of(key.begin(), key.begin() + 22, [](char c) {
           return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '+' ||
                  c == '/';
         });
}

}  // namespace

handshake_refusal check_handshake(const request& x, bool http11) noexcept {
  if (x.method != "GET" || !http11)
    return {400, "A WebSocket is opened by GET over HTTP/1.1"};
  if (!has_token(x, "upgrade", "websocket") || !has_token(x, "connection", "upgrade"))
    return {426, "This path speaks WebSocket only"};
  if (x.header("sec-websocket-version") != "13")
    return {426, "WebSocket version 13 is required"};
  if (!valid_key(x.header("sec-websocket-key")))
    return {400, "Malformed Sec-WebSocket-Key"};
  return {};
}

std::string websocket_accept(std::string_view key) {
  std::string text{key};
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  std::array<unsigned char, 64> encoded{};
  const int length = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<size_t>(length)};
}

void websocket_session::take(std::string_view& in) {
  using event = websocket_decoder::event;
  for (int i = 0; i < messages_at_once && !in.empty();) {
    const auto before = in.size();
    const auto what = decoder_.next(in);
    if (in.size() != before)
      unanswered_pings_ = 0;
    switch (what) {
      case event::need_more:
        break;  // of a fragment, more may be in `in`
      case event::message:
        ++i;
        if (!close_due_ && !close_sent_)
          handler_->message(decoder_.payload());
        break;
      case event::ping:
        pong_ = decoder_.payload();
        pong_due_ = true;
        break;
      case event::pong:
        break;
      case event::close:
        peer_closed_ = true;
        close(decoder_.code() == websocket_code::none ? websocket_code::normal : decoder_.code(),
              {});
        break;
      case event::failed:
        close(decoder_.code(), {});
        break;
    }
  }
}

void websocket_session::add_control(write_batch& out, websocket_opcode opcode,
                                    std::string_view payload) {
  std::string frame(max_frame_header_bytes, '\0');
  frame.resize(put_frame_header(frame.data(), opcode, payload.size()));
  frame += payload;
  out.add(std::move(frame));
}

byte_source::state websocket_session::pull(write_batch& out) {
  using state = byte_source::state;
  if (!opened_) {
    opened_ = true;
    handler_->opened();
  }
  if (std::exchange(pong_due_, false)) {
    add_control(out, websocket_opcode::pong, pong_);
    std::string{}.swap(pong_);
  }
  if (std::exchange(ping_due_, false))
    add_control(out, websocket_opcode::ping, {});
  auto now = state::idle;
  if (!close_due_ && !close_sent_) {
    write_batch messages;
    now = handler_->pull(messages);
    if (!messages.empty()) {
      // One allocation for all headers of the batch.
      auto& texts = messages.pieces();
      const auto headers =
          std::make_shared<std::string>(texts.size() * max_frame_header_bytes, '\0');
      char* to = headers->data();
      for (auto& text : texts) {
        const size_t size = put_frame_header(to, websocket_opcode::text, text.bytes.size());
        out.add(headers, {to, size});
        out.add(std::move(text.owner), text.bytes);
        to += size;
      }
    }
    if (now == state::end || finishing_)
      close_by_handler();
  }
  if (std::exchange(close_due_, false)) {
    close_sent_ = true;
    const char code[] = {static_cast<char>(code_ >> 8), static_cast<char>(code_ & 0xff)};
    add_control(out, websocket_opcode::close, std::string(code, 2) + reason_);
  }
  return close_sent_ ? state::end : now;
}

void websocket_session::close(uint16_t code, std::string reason) {
  if (close_due_ || close_sent_)
    return;
  close_due_ = true;
  code_ = code;
  reason_ = std::move(reason);
  if (reason_.size() > max_close_reason_bytes) {
    size_t size = max_close_reason_bytes;
    while (size > 0 && (static_cast<unsigned char>(reason_[size]) & 0xc0) == 0x80)
      --size;
    reason_.resize(size);
  }
}

void websocket_session::close_by_handler() {
  auto [code, reason] = handler_->close_code();
  close(code, std::move(reason));
}

void websocket_session::tick() {
  if (unanswered_pings_ == pings_unanswered)
    return close(websocket_code::policy, "no answer to pings");
  ++unanswered_pings_;
  ping_due_ = true;
}

}  // namespace kgents::gateway::http
