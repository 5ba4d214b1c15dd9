#include "protocol/agentese_event.hpp"

#include <algorithm>

#include "protocol/stream_event.hpp"

namespace kgents {

std::string_view to_string(agentese_event_type x) noexcept {
  switch (x) {
    case agentese_event_type::invoked:
      return "invoked";
    case agentese_event_type::changed:
      return "changed";
    case agentese_event_type::error:
      return "error";
    case agentese_event_type::refused:
      return "refused";
  }
  return "error";
}

std::optional<agentese_event_type> parse_agentese_event_type(std::string_view text) noexcept {
  for (const auto x : {agentese_event_type::invoked, agentese_event_type::changed,
                       agentese_event_type::error, agentese_event_type::refused})
    if (to_string(x) == text)
      return x;
  return std::nullopt;
}

agentese_event::~agentese_event() {
  for (auto& x : chunks_)
    delete x.load(std::memory_order_acquire);
  for (auto& x : texts_)
    delete x.load(std::memory_order_acquire);
}

std::string_view agentese_event::shown_aspect() const noexcept {
  switch (type) {
    case agentese_event_type::invoked:
      return aspect;
    case agentese_event_type::changed:
      return "state";
    case agentese_event_type::error:
      return "error";
    case agentese_event_type::refused:
      return "refusal";
  }
  return aspect;
}

std::string_view agentese_event::shown_archetype() const noexcept {
  return type == agentese_event_type::invoked ? std::string_view{archetype} : "system";
}

std::string agentese_event::json(form how) const {
  std::string out;
  out.reserve(data.size() + 320);
  const auto member = [&out](std::string_view name, std::string_view value) {
    out += '"';
    out += name;
    out += "\":";
    append_json_string(out, value);
    out += ',';
  };
  out += '{';
  member("event_id", event_id.text());
  member("event_type", to_string(type));
  member("path", path);
  member("aspect", shown_aspect());
  member("timestamp", timestamp);
  member("observer_archetype", shown_archetype());
  if (!trace_id.empty())
    member("trace_id", trace_id);
  if (how.with_seq)
    out += "\"seq\":" + std::to_string(seq) + ',';
  if (how.redacted)
    out += "\"redacted\":true,";
  else if (truncated)
    out += "\"data_truncated\":true,";
  out += "\"data\":";
  const auto from = out.size();
  out += how.redacted || data.empty() ? std::string_view{"null"} : std::string_view{data};
  // Line ends in JSON are between its tokens only, and would end the line of an SSE frame.
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(from), out.end(),
      [](char c) { return c == '\n' || c == '\r'; }, ' ');
  out += '}';
  return out;
}

template <class Make>
const agentese_event::encoded& agentese_event::once(slot& where, Make make) {
  if (const auto* made = where.load(std::memory_order_acquire))
    return *made;
  auto fresh = std::make_unique<encoded>(make());
  const encoded* expected = nullptr;
  if (where.compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel))
    return *fresh.release();
  return *expected;
}

const agentese_event::encoded& agentese_event::chunk(form how) const {
  return once(chunks_[how.with_seq + 2 * how.redacted], [&] {
    std::string frame = "event: ";
    frame += to_string(type);
    frame += "\nid: ";
    event_id.append_to(frame);
    frame += "\ndata: ";
    frame += json(how);
    frame += "\n\n";
    auto text = as_http_chunk(frame);
    const auto frame_at = text.size() - 2 - frame.size();
    return encoded{std::move(text), frame_at};
  });
}

std::string_view agentese_event::http_chunk(form how) const { return chunk(how).text; }

std::string_view agentese_event::sse(form how) const {
  const auto& x = chunk(how);
  return std::string_view{x.text}.substr(x.frame_at, x.text.size() - x.frame_at - 2);
}

std::string_view agentese_event::websocket_text(form how) const {
  return once(texts_[how.with_seq + 2 * how.redacted], [&] {
           auto text = json(how);
           text.replace(0, 1, R"({"type":"event",)");
           return encoded{std::move(text), 0};
         }).text;
}

}  // namespace kgents
