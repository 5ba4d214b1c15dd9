#include "runtime/settings_parse.hpp"

#include <algorithm>
#include <numeric>

namespace kgents::runtime::parse {

namespace {

// Not <cctype>: a locale must not change what a setting means.
constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

std::string lower(std::string_view text) {
  std::string result{text};
  std::ranges::transform(result, result.begin(), [](char c) { return lower(c); });
  return result;
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back()))
    text.remove_suffix(1);
  return text;
}

std::vector<std::string> list(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    if (auto piece = trimmed(text.substr(0, comma)); !piece.empty())
      result.emplace_back(piece);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return result;
}

std::optional<bool> boolean(std::string_view text) {
  const auto word = lower(text);
  for (auto yes : {"true", "1", "yes", "on"})
    if (word == yes)
      return true;
  for (auto no : {"false", "0", "no", "off"})
    if (word == no)
      return false;
  return std::nullopt;
}

std::optional<uint64_t> number(std::string_view text, uint64_t least, uint64_t most) {
  uint64_t value = 0;
  const auto end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || stop != end || value < least || value > most)
    return std::nullopt;
  return value;
}

std::optional<std::chrono::milliseconds> seconds(std::string_view text) {
  constexpr uint64_t day = 86'400;
  const auto dot = text.find('.');
  const auto whole = number(text.substr(0, dot), 0, day);
  if (!whole)
    return std::nullopt;
  uint64_t millis = *whole * 1000;
  if (dot != std::string_view::npos) {
    std::string decimals{text.substr(dot + 1)};
    if (decimals.empty() || decimals.size() > 3)
      return std::nullopt;
    decimals.resize(3, '0');
    const auto fraction = number(decimals, 0, 999);
    if (!fraction)
      return std::nullopt;
    millis += *fraction;
  }
  if (millis == 0 || millis > day * 1000)
    return std::nullopt;
  return std::chrono::milliseconds{millis};
}

bool is_url(std::string_view text, std::initializer_list<std::string_view> schemes) {
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon + 3 == text.size() || text[colon + 3] == '/')
    return false;
  if (std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c == 0x7f; }))
    return false;
  const auto scheme = lower(text.substr(0, colon));
  return std::ranges::find(schemes, scheme) != schemes.end();
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace kgents::runtime::parse
