#pragma once

#include "actors/persona/prompts.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kgents::persona {

// One turn of dialogue (agentese.md 18.4) as two pure steps: `plan_reply` decides, the caller
// streams the ready text or asks its model provider, `finish` counts.

/// One soul: a session has one, and so has each user of the soul routes. A value; whoever holds it
/// serialises its turns.
struct soul_state {
  mode active = default_mode;
  eigenvectors axes;
  std::shared_ptr<const persona_seed> seed = shared_default_seed();  ///< never null

  uint64_t interactions_count = 0;
  uint64_t tokens_used_session = 0;
  std::optional<std::chrono::system_clock::time_point> last_interaction;
};

/// Makes `x` the active mode and returns the line that says so.
std::string_view enter_mode(soul_state& soul, mode x) noexcept;

struct dialogue_request {
  std::string_view message{};
  std::optional<mode> requested{};  ///< none: the active mode
  budget_tier budget = default_budget;
  local_time now{};          ///< for the context of the prompt
  uint64_t seed = 0;         ///< for the choice among template variants
  bool single_turn = false;  ///< stands alone: at most `single_turn_output_tokens`
};

/// An answer that needs no model.
struct ready_reply {
  std::string text;
  uint32_t tokens = 0;       ///< 50 for a whisper, otherwise 0
  bool was_template = true;  ///< false for a whisper
};

struct reply_plan {
  mode used = default_mode;
  budget_tier tier = default_budget;
  references found;    ///< what of the seed the answer refers to; empty for ready answers
  bool counts = true;  ///< false for a blank message: `finish` then changes nothing
  std::variant<ready_reply, model_request> next;

  [[nodiscard]] const ready_reply* ready() const noexcept {
    return std::get_if<ready_reply>(&next);
  }
  [[nodiscard]] const model_request* question() const noexcept {
    return std::get_if<model_request>(&next);
  }
};

/// Decides, in this order: blank message -> prompt-back (tier dormant, the soul untouched); a
/// requested mode becomes active; a template; dormant -> neutral acknowledgement, never a model;
/// whisper -> whisper reply; else ask the model.
[[nodiscard]] reply_plan plan_reply(const dialogue_request& ask, soul_state& soul);

struct dialogue_result {
  std::string response;
  mode used = default_mode;
  budget_tier tier = default_budget;
  uint32_t tokens_used = 0;
  std::vector<std::string> referenced_preferences;
  std::vector<std::string> referenced_patterns;
  bool was_template = false;
};

/// Counts the turn and puts the result together. `text` is the model's answer and is ignored when
/// the plan was ready; `actual_tokens` is what the provider reported, without it an answer costs
/// twice its words. Call it once a turn, and not for one that failed.
dialogue_result finish(reply_plan plan, soul_state& soul, std::string text,
                       std::optional<uint32_t> actual_tokens,
                       std::chrono::system_clock::time_point now);

/// Two tokens a word: what an answer costs when nobody counted.
[[nodiscard]] uint32_t estimated_tokens(std::string_view text) noexcept;

}  // namespace kgents::persona
