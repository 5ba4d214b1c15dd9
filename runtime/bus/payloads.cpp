#include "runtime/bus/payloads.hpp"

#include <cstdio>
#include <ctime>

#include "runtime/bus/limits.hpp"

namespace kgents::runtime::bus {

namespace {

/// A JSON object, member by member.
class object {
public:
  void text(std::string_view name, std::string_view value) {
    key(name);
    append_json_string(out_, value);
  }
  void id(std::string_view name, const uuid& value) {
    key(name);
    out_ += '"';
    value.append_to(out_);
    out_ += '"';
  }
  template <class Number>
  void number(std::string_view name, Number value) {
    key(name);
    out_ += std::to_string(value);
  }
  void raw(std::string_view name, std::string_view json) {
    key(name);
    out_ += json;
  }
  std::string take() {
    out_ += '}';
    return std::move(out_);
  }
  void reserve(size_t bytes) { out_.reserve(bytes); }

private:
  void key(std::string_view name) {
    out_ += out_.empty() ? "{\"" : ",\"";
    out_ += name;
    out_ += "\":";
  }

  std::string out_;
};

void put_end(object& out, const stream_event& x) {
  const auto& end = *x.end;
  if (x.kind() == event_kind::error) {
    out.text("error", end.error);
    out.text("error_type", end.error_type);
  } else if (end.text.size() <= limits::bus_text_bytes) {
    out.text("text", end.text);
  } else {
    out.raw("text", "null");  // the broker would refuse it; the chunks have been published
  }
  out.number("tokens_used", end.tokens_used);
  out.number("chunks", x.place().index);
  if (x.kind() == event_kind::complete)
    out.text("finish_reason", end.finish_reason);
}

}  // namespace

std::string iso_time(wall_time at) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(at);
  const auto part = std::chrono::duration_cast<std::chrono::microseconds>(at - whole).count();
  const auto seconds = std::chrono::system_clock::to_time_t(whole);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32];
  const auto length = std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  char rest[24];
  std::snprintf(rest, sizeof rest, ".%06d+00:00", static_cast<int>(part));
  return std::string{date, length} + rest;
}

std::string_view type_of(event_kind kind) noexcept {
  switch (kind) {
    case event_kind::turn:
      return "dialogue_start";
    case event_kind::chunk:
      return "chunk";
    case event_kind::complete:
      return "complete";
    case event_kind::error:
      return "error";
    case event_kind::gap:
      break;
  }
  return {};
}

std::string session_message_id(const stream_event& x) {
  std::string out;
  out.reserve(48);
  x.answer.value.append_to(out);
  out += ':';
  switch (x.kind()) {
    case event_kind::turn:
      out += "start";
      break;
    case event_kind::chunk:
      out += std::to_string(x.place().index);
      break;
    default:
      out += "end";
  }
  return out;
}

std::string session_payload(const entity_id& session, const stream_event& x, wall_time at) {
  object out;
  out.reserve(x.text.size() + 320);
  out.text("type", type_of(x.kind()));
  out.number("v", 1);
  out.id("tenant_id", session.tenant.value);
  out.id("session_id", session.key);
  out.id("message_id", x.answer.value);
  out.id("turn_id", x.place().turn.value);
  switch (x.kind()) {
    case event_kind::turn:
      out.raw("payload", x.data());
      break;
    case event_kind::chunk:
      out.text("text", x.text);
      out.number("index", x.place().index);
      break;
    default:
      put_end(out, x);
  }
  out.text("timestamp", iso_time(at));
  return out.take();
}

std::string invocation_payload(const sql::agentese_mark& x) {
  object out;
  out.text("type", to_string(x.type));
  out.number("v", 1);
  out.id("event_id", x.event_id);
  out.id("tenant_id", x.tenant.value);
  out.text("path", x.node + "." + x.aspect);
  out.text("archetype", x.archetype);
  out.text("status", x.status);
  out.text("origin", x.origin);
  if (!x.caller.empty())
    out.text("caller", x.caller);
  out.number("duration_ms", x.duration_ms);
  out.number("tokens", x.tokens);
  if (!x.trace_id.empty())
    out.text("trace_id", x.trace_id);
  if (!x.span_id.empty())
    out.text("span_id", x.span_id);
  out.text("timestamp", iso_time(x.at));
  return out.take();
}

}  // namespace kgents::runtime::bus
