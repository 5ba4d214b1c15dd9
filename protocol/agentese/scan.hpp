#pragma once

// What the parsers of this folder share: character classes and how a wrong place is told. For them
// only.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/agentese/path.hpp"

namespace kgents::agentese::scan {

constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool in_identifier(char c) noexcept { return is_lower(c) || is_digit(c) || c == '_'; }
constexpr bool is_space(char c) noexcept { return c == ' ' || c == '\t'; }

/// Characters somebody could take for part of a name: what is wrong is then the name, not one
/// character.
constexpr bool in_word(char c) noexcept {
  return in_identifier(c) || (c >= 'A' && c <= 'Z') || c == '-';
}

[[nodiscard]] std::string_view word_at(std::string_view text, size_t position) noexcept;
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// Bytes of the UTF-8 character that begins at `position`, 0 if none does.
[[nodiscard]] size_t utf8_size(std::string_view text, size_t position) noexcept;

[[nodiscard]] syntax_error wrong(std::string message, std::string_view locus, size_t position,
                                 std::string suggestion);

/// `Unexpected character: 'c'`
[[nodiscard]] syntax_error unexpected(std::string_view text, size_t position,
                                      std::string suggestion = {});

/// `Invalid {role}: 'word'`, with the identifier that was probably meant.
[[nodiscard]] syntax_error invalid_word(std::string_view role, std::string_view word,
                                        size_t position);

[[nodiscard]] syntax_error too_long(std::string_view what, size_t size, size_t most);

/// The same error `by` bytes further on.
[[nodiscard]] inline syntax_error shifted(syntax_error x, size_t by) {
  x.position += by;
  return x;
}

}  // namespace kgents::agentese::scan
