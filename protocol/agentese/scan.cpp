#include "protocol/agentese/scan.hpp"

namespace kgents::agentese::scan {
namespace {

constexpr std::string_view rule =
    "names are a lower-case letter, then a-z, 0-9 and _; dots join them";

/// The identifier a word nearly is, or nothing.
std::string repaired(std::string_view word) {
  std::string result;
  for (const char c : word) {
    if (c >= 'A' && c <= 'Z')
      result.push_back(static_cast<char>(c - 'A' + 'a'));
    else
      result.push_back(c == '-' ? '_' : c);
  }
  return is_identifier(result) ? result : std::string{};
}

}  // namespace

std::string_view word_at(std::string_view text, size_t position) noexcept {
  auto end = position;
  while (end < text.size() && in_word(text[end]))
    ++end;
  return text.substr(position, end - position);
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_space(text.back()))
    text.remove_suffix(1);
  return text;
}

// Table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF.
size_t utf8_size(std::string_view text, size_t position) noexcept {
  const auto byte = [&](size_t i) -> unsigned {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0u;
  };
  const auto in = [&](size_t i, unsigned low, unsigned high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const auto first = byte(0);
  if (position >= text.size())
    return 0;
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return in(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const auto low = first == 0xe0 ? 0xa0u : 0x80u;
    const auto high = first == 0xed ? 0x9fu : 0xbfu;
    return in(1, low, high) && in(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const auto low = first == 0xf0 ? 0x90u : 0x80u;
    const auto high = first == 0xf4 ? 0x8fu : 0xbfu;
    return in(1, low, high) && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

syntax_error wrong(std::string message, std::string_view locus, size_t position,
                   std::string suggestion) {
  return {.what = syntax_error::kind::malformed,
          .message = std::move(message),
          .locus = printable(locus),
          .position = position,
          .suggestion = std::move(suggestion)};
}

syntax_error unexpected(std::string_view text, size_t position, std::string suggestion) {
  const auto size = utf8_size(text, position);
  const auto character = text.substr(position, size == 0 ? 1 : size);
  if (suggestion.empty())
    suggestion = rule;
  return wrong("Unexpected character: '" + printable(character) + "'", character, position,
               std::move(suggestion));
}

syntax_error invalid_word(std::string_view role, std::string_view word, size_t position) {
  std::string suggestion;
  if (const auto nearly = repaired(word); !nearly.empty())
    suggestion = "write '" + printable(nearly) + "': ";
  suggestion += rule;
  return wrong("Invalid " + std::string{role} + ": '" + printable(word) + "'", word, position,
               std::move(suggestion));
}

syntax_error too_long(std::string_view what, size_t size, size_t most) {
  return wrong(std::string{what} + " too long: " + std::to_string(size) + " bytes, at most " +
                   std::to_string(most),
               {}, most, "shorten it to " + std::to_string(most) + " bytes");
}

}  // namespace kgents::agentese::scan
