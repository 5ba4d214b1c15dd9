#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What nodes compute of texts where no model is asked. Pure; any bytes are accepted, bytes above
/// 127 count as letters.
namespace kgents::actors::words {

/// Lower-case words of three letters or more that carry meaning (no articles, prepositions …), each
/// once, in the order of the text.
[[nodiscard]] std::vector<std::string> telling(std::string_view text, size_t limit = 32);

/// Sentences without white space around them, with their full stop.
[[nodiscard]] std::vector<std::string> sentences(std::string_view text, size_t limit = 256);

/// 0 … 1: how much of their trigrams two words share (Dice).
[[nodiscard]] double alike(std::string_view a, std::string_view b);

/// 0 … 1: how much of their telling words two texts share (cosine of their sets).
[[nodiscard]] double overlap(std::string_view a, std::string_view b);

/// "a", "a and b", "a, b and c".
[[nodiscard]] std::string listed(std::span<const std::string> items, size_t most = 8);

/// `some_name` as "some name".
[[nodiscard]] std::string spoken(std::string_view identifier);

/// With a capital and a full stop, unless it ends with one of ".!?".
[[nodiscard]] std::string sentence(std::string_view text);

/// At most `bytes`, never half a code point; cut with "…".
[[nodiscard]] std::string shortened(std::string_view text, size_t bytes);

/// "a" or "an" before it.
[[nodiscard]] std::string with_article(std::string_view noun);

}  // namespace kgents::actors::words
