#include "actors/persona/text.hpp"

#include <algorithm>

namespace kgents::persona {

namespace {

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool is_word_byte(char c) noexcept {
  const auto l = lower(c);
  return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// Invisible characters that could hide or turn around what follows a quotation.
constexpr bool is_unseen(uint32_t c) noexcept {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
         (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

}  // namespace

code_point decode_at(std::string_view text, size_t pos) noexcept {
  if (pos >= text.size())
    return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const uint32_t first = byte(0);
  if (first < 0x80)
    return {first, 1, true};
  const uint8_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() - pos < length)
    return {first, 1, false};
  uint32_t value = first & (0x7fu >> length);
  for (uint8_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80)
      return {first, 1, false};
    value = value << 6 | (byte(i) & 0x3fu);
  }
  if ((length == 3 && value < 0x800) || (length == 4 && value < 0x10000) || value > 0x10ffff ||
      (value >= 0xd800 && value <= 0xdfff))
    return {first, 1, false};
  return {value, length, true};
}

bool is_space(uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

std::string folded(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

bool same_folded(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) noexcept {
  for (auto c = decode_at(text, 0); c.valid && is_space(c.value); c = decode_at(text, 0))
    text.remove_prefix(c.length);
  while (!text.empty()) {
    auto start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 &&
           (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80)
      --start;
    const auto c = decode_at(text, start);
    if (!c.valid || start + c.length != text.size() || !is_space(c.value))
      break;
    text.remove_suffix(c.length);
  }
  return text;
}

std::string_view first_code_points(std::string_view text, size_t n) noexcept {
  size_t pos = 0;
  for (; n > 0 && pos < text.size(); --n)
    pos += decode_at(text, pos).length;
  return text.substr(0, pos);
}

std::string_view first_bytes(std::string_view text, size_t bytes) noexcept {
  if (text.size() <= bytes)
    return text;
  // Back over at most three continuation bytes: more would mean that the text is no UTF-8 anyway.
  auto end = bytes;
  while (end > 0 && bytes - end < 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
    --end;
  return text.substr(0, end);
}

std::vector<std::string_view> words_of(std::string_view text, size_t limit) {
  std::vector<std::string_view> result;
  size_t start = 0;
  for (size_t pos = 0; pos <= text.size() && result.size() < limit;) {
    const auto c = decode_at(text, pos);
    if (c.length == 0 || (c.valid && is_space(c.value))) {
      if (pos > start)
        result.push_back(text.substr(start, pos - start));
      start = pos + c.length;
    }
    pos += std::max<size_t>(c.length, 1);
  }
  return result;
}

size_t word_count(std::string_view text) noexcept {
  size_t count = 0;
  auto inside = false;
  for (size_t pos = 0; pos < text.size();) {
    const auto c = decode_at(text, pos);
    const auto space = c.valid && is_space(c.value);
    count += !space && !inside;
    inside = !space;
    pos += c.length;
  }
  return count;
}

bool has_whole(std::string_view text, std::string_view phrase) noexcept {
  for (auto at = text.find(phrase); at != text.npos; at = text.find(phrase, at + 1)) {
    const auto end = at + phrase.size();
    if ((at == 0 || !is_word_byte(text[at - 1])) &&
        (end == text.size() || !is_word_byte(text[end])))
      return true;
  }
  return false;
}

std::string quotable(std::string_view text, size_t max_code_points) {
  std::string result;
  size_t taken = 0;
  auto gap = false;
  for (size_t pos = 0; pos < text.size();) {
    const auto c = decode_at(text, pos);
    const auto here = pos;
    pos += c.length;
    if (c.valid && is_space(c.value)) {
      gap = !result.empty();
      continue;
    }
    if (!c.valid || is_unseen(c.value))
      continue;
    if (taken + gap + 1 > max_code_points) {
      result += "…";
      break;
    }
    if (gap)
      result += ' ';
    result.append(text, here, c.length);
    taken += 1u + gap;
    gap = false;
  }
  return result;
}

}  // namespace kgents::persona
