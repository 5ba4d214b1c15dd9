#pragma once

#include "actors/persona/eigenvectors.hpp"
#include "actors/persona/modes.hpp"
#include "actors/persona/random.hpp"
#include "actors/persona/seed.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::persona {

// How the persona speaks when no model is configured (agentese.md 18.6): it takes up what was said,
// what the seed knows, and puts sentences around it. Deterministic but for the `random_choice` that
// the caller seeds.

/// What an answer is about, taken from one message. Quotations are safe to print: one line, valid
/// UTF-8, nothing invisible.
struct subject {
  std::string quote;                ///< the message, at most 80 code points and 12 words
  std::vector<std::string> topics;  ///< its telling words, at most 8; never empty
  references found;
};

constexpr size_t max_quote_code_points = 80;
constexpr size_t max_quote_words = 12;
constexpr size_t max_topics = 8;

/// Reads the first `reading_window_bytes` of the message, which must not be blank for the quote to
/// be of use.
[[nodiscard]] subject subject_of(std::string_view message, const persona_seed& seed);

/// The mode's own reply: reflect quotes what was held dear before, advise builds on patterns,
/// challenge opposes along an extreme axis, explore connects two interests. Two or three sentences,
/// at most 60 words.
void append_opening(std::string& out, mode x, const subject& about, const persona_seed& seed,
                    const eigenvectors& axes, random_choice& random);

// Sentences that may follow an opening in any order; `append_line` fills their slots.
[[nodiscard]] std::span<const std::string_view> thoughts(mode x) noexcept;   ///< of the mode
[[nodiscard]] std::span<const std::string_view> common_thoughts() noexcept;  ///< of any mode
[[nodiscard]] std::span<const std::string_view>
paragraph_openers() noexcept;  ///< turn to a new side
[[nodiscard]] std::span<const std::string_view> closing_questions(mode x) noexcept;

/// Appends the sentence with {topic}, {interest} and {value} filled in.
void append_line(std::string& out, std::string_view line, const subject& about,
                 const persona_seed& seed, random_choice& random);

}  // namespace kgents::persona
