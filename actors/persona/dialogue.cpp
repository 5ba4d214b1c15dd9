#include "actors/persona/dialogue.hpp"

#include "actors/persona/templates.hpp"
#include "actors/persona/text.hpp"

#include <algorithm>

namespace kgents::persona {

namespace {

model_request question(const dialogue_request& ask, const soul_state& soul,
                       const references& found) {
  model_request result;
  result.system = system_prompt(soul.active, ask.budget, soul.axes, *soul.seed);
  result.user = user_prompt(ask.message, soul.active, found, ask.now);
  result.used = soul.active;
  result.deep = ask.budget == budget_tier::deep;
  result.temperature = temperature(soul.active);
  result.max_tokens = token_cap(ask.budget);
  if (ask.single_turn)
    result.max_tokens = std::min(result.max_tokens, single_turn_output_tokens);
  return result;
}

}  // namespace

std::string_view enter_mode(soul_state& soul, mode x) noexcept {
  soul.active = x;
  return transition_line(x);
}

reply_plan plan_reply(const dialogue_request& ask, soul_state& soul) {
  reply_plan plan;
  plan.tier = ask.budget;
  if (trimmed(ask.message).empty()) {
    plan.used = ask.requested.value_or(soul.active);
    plan.tier = budget_tier::dormant;
    plan.counts = false;
    plan.next = ready_reply{std::string(prompt_back())};
    return plan;
  }
  if (ask.requested)
    soul.active = *ask.requested;
  plan.used = soul.active;
  if (auto text = template_reply(ask.message, soul.active, ask.budget, ask.seed)) {
    plan.next = ready_reply{std::move(*text)};
  } else if (ask.budget == budget_tier::dormant) {
    plan.next = ready_reply{std::string(neutral_acknowledgement())};
  } else if (ask.budget == budget_tier::whisper) {
    plan.next = ready_reply{std::string(whisper_reply(soul.active)), whisper_tokens, false};
  } else {
    plan.found = match(ask.message, *soul.seed);
    plan.next = question(ask, soul, plan.found);
  }
  return plan;
}

dialogue_result finish(reply_plan plan, soul_state& soul, std::string text,
                       std::optional<uint32_t> actual_tokens,
                       std::chrono::system_clock::time_point now) {
  dialogue_result result;
  result.used = plan.used;
  result.tier = plan.tier;
  if (auto* ready = std::get_if<ready_reply>(&plan.next)) {
    result.response = std::move(ready->text);
    result.tokens_used = ready->tokens;
    result.was_template = ready->was_template;
  } else {
    result.tokens_used = actual_tokens.value_or(estimated_tokens(text));
    result.response = std::move(text);
  }
  result.referenced_preferences = std::move(plan.found.preferences);
  result.referenced_patterns = std::move(plan.found.patterns);
  if (plan.counts) {
    ++soul.interactions_count;
    soul.tokens_used_session += result.tokens_used;
    soul.last_interaction = now;
  }
  return result;
}

uint32_t estimated_tokens(std::string_view text) noexcept {
  return static_cast<uint32_t>(2 * word_count(text));
}

}  // namespace kgents::persona
