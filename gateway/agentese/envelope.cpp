#include "gateway/agentese/envelope.hpp"

#include <charconv>

#include "protocol/stream_event.hpp"

namespace kgents::gateway {

namespace {

/// `value` in at least `width` digits.
void append_padded(std::string& out, uint64_t value, int width) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  for (auto i = end - digits; i < width; ++i)
    out += '0';
  out.append(digits, end);
}

}  // namespace

void append_timestamp(std::string& out, std::chrono::system_clock::time_point at) {
  using namespace std::chrono;
  const auto day = floor<days>(at);
  const year_month_day date{day};
  const hh_mm_ss time{floor<microseconds>(at - day)};
  out += '"';
  append_padded(out, static_cast<uint64_t>(static_cast<int>(date.year())), 4);
  out += '-';
  append_padded(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_padded(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_padded(out, static_cast<uint64_t>(time.hours().count()), 2);
  out += ':';
  append_padded(out, static_cast<uint64_t>(time.minutes().count()), 2);
  out += ':';
  append_padded(out, static_cast<uint64_t>(time.seconds().count()), 2);
  out += '.';
  append_padded(out, static_cast<uint64_t>(time.subseconds().count()), 6);
  out += "+00:00\"";
}

std::string v1_envelope(std::string_view path, const actors::invoked& x) {
  std::string out;
  out.reserve(path.size() + x.body.size() + 64);
  out += R"({"path":)";
  append_json_string(out, path);
  out += R"(,"result":)";
  out += x.body;
  out += R"(,"tokens_used":)";
  append_padded(out, uint64_t{x.tokens_in} + x.tokens_out, 1);
  out += R"(,"cached":false})";
  return out;
}

void append_meta(std::string& out, const universal_meta& x) {
  out += R"({"observer":)";
  append_json_string(out, x.observer);
  out += R"(,"span_id":)";
  append_json_string(out, x.span_id);
  out += R"(,"timestamp":)";
  append_timestamp(out, std::chrono::system_clock::now());
  out += R"(,"duration_ms":)";
  append_padded(out, x.duration_ms, 1);
  out += R"(,"laws_verified":)";
  out += x.laws_verified;
  out += R"(,"cached":false})";
}

std::string universal_envelope(std::string_view handle, std::string_view observer,
                               const actors::invoked& x) {
  std::string out;
  out.reserve(handle.size() + x.body.size() + 256);
  out += R"({"handle":)";
  append_json_string(out, handle);
  out += R"(,"result":)";
  out += x.body;
  out += R"(,"meta":)";
  append_meta(out, {observer, x.span_id, x.duration_ms});
  out += '}';
  return out;
}

std::string gateway_envelope(std::string_view path, std::string_view aspect,
                             const actors::invoked& x) {
  std::string out;
  out.reserve(path.size() + x.body.size() + 64);
  out += R"({"path":)";
  append_json_string(out, path);
  out += R"(,"aspect":)";
  append_json_string(out, aspect);
  out += R"(,"result":)";
  out += x.body;
  out += '}';
  return out;
}

void append_list(std::string& out, const std::vector<std::string>& all) {
  out += '[';
  for (const auto& x : all) {
    if (&x != &all.front())
      out += ',';
    append_json_string(out, x);
  }
  out += ']';
}

}  // namespace kgents::gateway
