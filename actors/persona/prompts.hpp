#pragma once

#include "actors/persona/budget.hpp"
#include "actors/persona/eigenvectors.hpp"
#include "actors/persona/modes.hpp"
#include "actors/persona/seed.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace kgents::persona {

// What a model is asked in the persona's name (agentese.md 18.7).

/// The reader's clock, passed in: nothing here reads the time.
struct local_time {
  unsigned hour = 12;    ///< 0–23
  unsigned weekday = 1;  ///< 0 Sunday … 6 Saturday
};

/// "morning" from 6, "afternoon" from 12, "evening" from 18, "late night" before 6.
[[nodiscard]] std::string_view part_of_day(unsigned hour) noexcept;

/// "Monday" …; outside 0–6 it wraps around.
[[nodiscard]] std::string_view weekday_name(unsigned weekday) noexcept;

/// One question to a model. The caller adds the history of the session before `user`.
struct model_request {
  std::string system;  ///< ours alone: never contains text of the user
  std::string user;    ///< the message and its context
  mode used = default_mode;
  bool deep = false;  ///< several paragraphs are wanted
  double temperature = 0.5;
  uint32_t max_tokens = 4'000;  ///< of the answer
};

/// Identity and task; the axes with value and confidence; the mode's instructions; guidelines; for
/// deep the narrative.
[[nodiscard]] std::string system_prompt(mode x, budget_tier tier, const eigenvectors& axes,
                                        const persona_seed& seed);

/// The message, then `[Context: …]` with time, preferences and patterns; in challenge also the
/// dialectical frame.
[[nodiscard]] std::string user_prompt(std::string_view message, mode x, const references& found,
                                      const local_time& now);

/// The message inside a `user_prompt`, without what was added; any other text comes back as it is.
[[nodiscard]] std::string_view message_of(std::string_view user_prompt) noexcept;

/// The axes told as a character, one sentence each.
[[nodiscard]] std::string narrative(const eigenvectors& axes);

}  // namespace kgents::persona
