#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::persona {

// What the persona needs of text: small, total functions. Any bytes are accepted; what is cut is
// cut between code points.

/// How much of a message is read for words, references and depth: a pasted book must not cost the
/// engine milliseconds.
constexpr size_t reading_window_bytes = 8 * 1024;

/// One code point of UTF-8; `length` is 0 at the end and `valid` false for a byte that starts no
/// proper sequence (length 1).
struct code_point {
  uint32_t value = 0;
  uint8_t length = 0;
  bool valid = false;
};

/// Decodes the code point that starts at `pos` (RFC 3629: no overlong forms, no surrogates, up to
/// U+10FFFF).
[[nodiscard]] code_point decode_at(std::string_view text, size_t pos) noexcept;

/// White space as Unicode has it (property White_Space).
[[nodiscard]] bool is_space(uint32_t code_point) noexcept;

/// Lower case of the ASCII letters; all our keywords are ASCII.
[[nodiscard]] std::string folded(std::string_view text);

/// Equal but for the case of ASCII letters.
[[nodiscard]] bool same_folded(std::string_view a, std::string_view b) noexcept;

/// Without white space at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// The first `n` code points.
[[nodiscard]] std::string_view first_code_points(std::string_view text, size_t n) noexcept;

/// The first `bytes` bytes at most, never half a code point.
[[nodiscard]] std::string_view first_bytes(std::string_view text, size_t bytes) noexcept;

/// Words between white space. At most `limit`, the rest is not looked at.
[[nodiscard]] std::vector<std::string_view> words_of(std::string_view text,
                                                     size_t limit = SIZE_MAX);

/// How many words stand between white space.
[[nodiscard]] size_t word_count(std::string_view text) noexcept;

/// Whether `phrase` occurs with no letter, digit or underscore next to it. Both must be folded
/// already.
[[nodiscard]] bool has_whole(std::string_view text, std::string_view phrase) noexcept;

/// Safe to quote inside one of our sentences: one line, single spaces, valid UTF-8, no control or
/// direction characters, cut with "…" behind `max_code_points`.
[[nodiscard]] std::string quotable(std::string_view text, size_t max_code_points);

}  // namespace kgents::persona
