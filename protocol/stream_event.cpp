#include "protocol/stream_event.hpp"

#include <charconv>

namespace kgents {
namespace {

void append_number(std::string& out, int64_t x) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, x).ptr);
}

}  // namespace

std::string_view to_string(event_kind x) noexcept {
  switch (x) {
    case event_kind::turn:
      return "turn";
    case event_kind::chunk:
      return "chunk";
    case event_kind::complete:
      return "complete";
    case event_kind::error:
      return "error";
    case event_kind::gap:
      return "gap";
  }
  return "error";
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  out += '"';
  size_t plain = 0;  // start of the run that needs no escape
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\')
      continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += digits[c >> 4];
        out += digits[c & 15];
    }
  }
  out.append(text, plain, text.size() - plain);
  out += '"';
}

std::string as_http_chunk(std::string_view frame) {
  char size[20];
  const auto end = std::to_chars(size, size + sizeof size, frame.size(), 16).ptr;
  std::string out;
  out.reserve(frame.size() + 8);
  out.append(size, end);
  out += "\r\n";
  out += frame;
  out += "\r\n";
  return out;
}

stream_event::stream_event(event_kind kind, const cursor& place, std::string_view data)
    : place_{place}, kind_{kind} {
  std::string frame;
  frame.reserve(data.size() + 96);
  frame += "event: ";
  frame += to_string(kind);
  frame += "\nid: ";
  place.append_to(frame);
  frame += "\ndata: ";
  const auto head = frame.size();
  frame += data;
  frame += "\n\n";
  wire_ = as_http_chunk(frame);
  frame_at_ = static_cast<uint32_t>(wire_.size() - 2 - frame.size());
  data_at_ = static_cast<uint32_t>(frame_at_ + head);
}

stream_event::~stream_event() { delete websocket_.load(std::memory_order_acquire); }

std::string_view stream_event::sse() const noexcept {
  return std::string_view{wire_}.substr(frame_at_, wire_.size() - frame_at_ - 2);
}

std::string_view stream_event::data() const noexcept {
  return std::string_view{wire_}.substr(data_at_, wire_.size() - data_at_ - 4);
}

std::string_view stream_event::websocket_text() const {
  if (auto* made = websocket_.load(std::memory_order_acquire))
    return *made;
  auto fresh = std::make_unique<std::string>();
  *fresh += R"({"type":")";
  *fresh += to_string(kind_);
  *fresh += R"(","id":")";
  place_.append_to(*fresh);
  *fresh += '"';
  if (kind_ != event_kind::turn) {  // its data names the turn already
    *fresh += R"(,"turn_id":")";
    place_.turn.value.append_to(*fresh);
    *fresh += '"';
  }
  *fresh += ',';
  if (kind_ == event_kind::error) {  // its data has a `type` of its own
    *fresh += R"("error":)";
    append_json_string(*fresh, end->error);
    *fresh += R"(,"error_type":)";
    append_json_string(*fresh, end->error_type);
    *fresh += '}';
  } else {
    *fresh += data().substr(1);
  }
  const std::string* expected = nullptr;
  if (websocket_.compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel))
    return *fresh.release();
  return *expected;
}

event_ptr make_turn_event(turn_id turn, lease_epoch epoch, message_id message,
                          std::string_view mode, message_id answer) {
  std::string data = R"({"turn_id":")";
  turn.value.append_to(data);
  data += R"(","message_id":")";
  message.value.append_to(data);
  data += R"(","mode":)";
  append_json_string(data, mode);
  data += '}';
  auto out = std::make_shared<stream_event>(event_kind::turn,
                                            cursor{turn, epoch, cursor::turn_event}, data);
  out->answer = answer;
  return out;
}

event_ptr make_chunk_event(turn_id turn, lease_epoch epoch, chunk_index index, std::string text,
                           message_id answer) {
  std::string data = R"({"text":)";
  append_json_string(data, text);
  data += R"(,"index":)";
  append_number(data, index);
  data += '}';
  auto out = std::make_shared<stream_event>(event_kind::chunk, cursor{turn, epoch, index}, data);
  out->text = std::move(text);
  out->answer = answer;
  return out;
}

event_ptr make_complete_event(turn_id turn, lease_epoch epoch, chunk_index chunks, turn_end end,
                              message_id answer) {
  std::string data = R"({"text":)";
  append_json_string(data, end.text);
  data += R"(,"tokens_used":)";
  append_number(data, end.tokens_used);
  data += R"(,"chunks":)";
  append_number(data, chunks);
  data += R"(,"finish_reason":)";
  append_json_string(data, end.finish_reason);
  data += '}';
  auto out =
      std::make_shared<stream_event>(event_kind::complete, cursor{turn, epoch, chunks}, data);
  out->end = std::make_shared<turn_end>(std::move(end));
  out->answer = answer;
  return out;
}

event_ptr make_error_event(turn_id turn, lease_epoch epoch, chunk_index chunks, turn_end end,
                           message_id answer) {
  std::string data = R"({"error":)";
  append_json_string(data, end.error);
  data += R"(,"type":)";
  append_json_string(data, end.error_type);
  data += '}';
  auto out = std::make_shared<stream_event>(event_kind::error, cursor{turn, epoch, chunks}, data);
  out->end = std::make_shared<turn_end>(std::move(end));
  out->answer = answer;
  return out;
}

event_ptr make_gap_event(const cursor& place) {
  return std::make_shared<stream_event>(
      event_kind::gap, place,
      R"({"reason":"events behind your cursor are no longer known; the stream goes on live"})");
}

}  // namespace kgents
