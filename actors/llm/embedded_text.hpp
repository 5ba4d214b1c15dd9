#pragma once

#include "actors/persona/modes.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::llm {

/// The longest chunk of an embedded answer: one word with the white space behind it; longer words
/// are split.
constexpr size_t max_embedded_chunk_bytes = 64;

/// The longest answer that a message can ask for.
constexpr size_t max_embedded_words = 8'000;

/// The whole answer of the embedded model, as the chunks it streams: each valid UTF-8, one word and
/// its white space; joined they are the text. Equal arguments give equal chunks on every machine
/// and in every build of this version, so an answer that was cut short can be continued by making
/// it again.
///
/// `user_text` may be a persona::user_prompt; its added context is left out, so the time of day
/// does not change an answer. `history_length` is the number of messages before this one. How long
/// it gets:
///
///  - "about N words", "N tokens", "1,000 words", "300-word" in the text: N words, N ≤ 8,000, give
///    or take 20; a chunk is a word, so N is also the number of chunks;
///  - `deep`, or a text that asks for depth ("in depth", "in detail", "essay", "long",
///  "thoroughly",
///    "paragraphs" …): 300 to 600 words in 4 to 7 paragraphs;
///  - otherwise 40 to 90 words in one or two paragraphs.
///
/// Never empty. Pure and thread-safe; some 10 µs for 60 words.
[[nodiscard]] std::vector<std::string> embedded_answer(std::string_view user_text, persona::mode x,
                                                       bool deep, uint32_t history_length);

constexpr size_t npos = static_cast<size_t>(-1);

/// The first chunk that `prefix` does not cover: chunks.size() when it covers all, `npos` when it
/// is not a whole number of chunks from the start of this answer.
[[nodiscard]] size_t chunk_at_prefix(const std::vector<std::string>& chunks,
                                     std::string_view prefix) noexcept;

}  // namespace kgents::llm
