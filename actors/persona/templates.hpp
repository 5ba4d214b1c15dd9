#pragma once

#include "actors/persona/budget.hpp"
#include "actors/persona/modes.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::persona {

// Answers that need no model (agentese.md 18.5). Every choice among variants follows from the seed
// alone.

/// The first of these rules that fits the message, without white space around it and whatever its
/// case:
///
///  1. one of its words is hello, hi, hey, morning, evening or afternoon: a greeting;
///  2. it has at most 4 words, one of them a mode's name: the transition line of that mode (it only
///  talks about the
///     mode; the active mode changes when a request names one);
///  3. it has at most 6 words, among them save, saved, done, bye, goodbye, thanks or "thank you": a
///  closing line;
///  4. only in `dormant`: fewer than 20 code points and the mode is not advise: an acknowledgement,
///  a challenge or an
///     exploration prompt.
///
/// Words of rule 1 stand between white space ("hello, world" is no greeting: its word is "hello,"),
/// those of 2 and 3 are whole words beside any punctuation. Rules 2 and 3 look at short texts only,
/// since a sentence that happens to contain "challenge" wants an answer.
[[nodiscard]] std::optional<std::string> template_reply(std::string_view text, mode x,
                                                        budget_tier budget, uint64_t seed);

/// What a blank message gets.
[[nodiscard]] std::string_view prompt_back() noexcept;

/// What `dormant` says when no template fits.
[[nodiscard]] std::string_view neutral_acknowledgement() noexcept;

/// What `whisper` says when no template fits: one sentence that invites more.
[[nodiscard]] std::string_view whisper_reply(mode x) noexcept;

}  // namespace kgents::persona
