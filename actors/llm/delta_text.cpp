#include "actors/llm/delta_text.hpp"

#include <utility>

#include "actors/llm/provider.hpp"

namespace kgents::llm {

namespace {

struct lead_rule {
  size_t length = 0;                // 0: no lead byte
  uint8_t low = 0x80, high = 0xBF;  // of the second byte
};

lead_rule rule_of(uint8_t lead) noexcept {
  if (lead < 0x80)
    return {1};
  if (lead >= 0xC2 && lead <= 0xDF)
    return {2};
  if (lead >= 0xE0 && lead <= 0xEF)
    return {3, static_cast<uint8_t>(lead == 0xE0 ? 0xA0 : 0x80),
            static_cast<uint8_t>(lead == 0xED ? 0x9F : 0xBF)};
  if (lead >= 0xF0 && lead <= 0xF4)
    return {4, static_cast<uint8_t>(lead == 0xF0 ? 0x90 : 0x80),
            static_cast<uint8_t>(lead == 0xF4 ? 0x8F : 0xBF)};
  return {};
}

bool is_continuation(char c) noexcept { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

}  // namespace

utf8_extent utf8_extent_of(std::string_view text) noexcept {
  size_t at = 0;
  while (at < text.size()) {
    const auto rule = rule_of(static_cast<uint8_t>(text[at]));
    if (rule.length == 0)
      return {at, true};
    for (size_t i = 1; i < rule.length; ++i) {
      if (at + i == text.size())
        return {at, false};
      const auto byte = static_cast<uint8_t>(text[at + i]);
      const auto low = i == 1 ? rule.low : uint8_t{0x80};
      const auto high = i == 1 ? rule.high : uint8_t{0xBF};
      if (byte < low || byte > high)
        return {at, true};
    }
    at += rule.length;
  }
  return {at, false};
}

std::string_view utf8_head(std::string_view text, size_t limit) noexcept {
  if (text.size() <= limit)
    return text;
  while (limit > 0 && is_continuation(text[limit]))
    --limit;
  return text.substr(0, limit);
}

void word_counter::add(std::string_view piece) noexcept {
  for (char c : piece) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    words += !space && !inside;
    inside = !space;
  }
}

delta_text::verdict delta_text::push(std::string_view piece) {
  std::string joined;
  if (!tail_.empty()) {
    joined = std::move(tail_);
    joined += piece;
    tail_.clear();
    piece = joined;
  }
  const auto extent = utf8_extent_of(piece);
  if (extent.malformed)
    return verdict::malformed;
  const auto whole = piece.substr(0, extent.valid);
  const auto kept = utf8_head(whole, room_);
  if (empty()) {
    ready_.clear();
    taken_ = 0;
  }
  for (char c : kept) {
    if (c == '\0')
      ready_ += "\xEF\xBF\xBD";
    else
      ready_ += c;
  }
  room_ -= kept.size();
  if (kept.size() < whole.size())
    return verdict::full;
  tail_ = piece.substr(extent.valid);
  return verdict::ok;
}

std::optional<std::string> delta_text::next() {
  if (empty())
    return std::nullopt;
  if (taken_ == 0 && ready_.size() <= max_delta_bytes)
    return std::exchange(ready_, {});
  const auto head = utf8_head(std::string_view{ready_}.substr(taken_), max_delta_bytes);
  taken_ += head.size();
  return std::string{head};
}

}  // namespace kgents::llm
