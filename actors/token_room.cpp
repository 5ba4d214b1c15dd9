#include "actors/token_room.hpp"

#include <algorithm>
#include <chrono>

#include "runtime/gates.hpp"

namespace kgents::actors {

namespace {

/// The conversation goes before an answer gets shorter than this.
constexpr uint32_t some_answer = 500;
/// With less room than this for an answer a model is not asked. With the persona's prompt it is what
/// http-api.md 4.3 expects of a dialogue, 500.
constexpr uint32_t short_answer = 40;

/// Role and separators of one message, as chat formats have them.
constexpr uint64_t around_message = 4;
/// What a prompt says of the time and of preferences.
constexpr uint64_t context = 40;

uint64_t ours(std::string_view x) noexcept { return x.size() / 5 + around_message; }
uint64_t theirs(std::string_view x) noexcept { return x.size() / 2 + around_message; }

}  // namespace

uint64_t prompt_tokens(const llm::prompt& ask) noexcept {
  auto out = ours(ask.system);
  for (const auto& x : ask.messages)
    out += theirs(x.content);
  return out;
}

sql::token_need need_of(std::string_view system, std::string_view message,
                        persona::budget_tier budget) noexcept {
  using enum persona::budget_tier;
  const uint64_t cap = persona::token_cap(budget);
  if (budget == dormant || budget == whisper)
    return {cap, cap};  // no model is asked
  const auto prompt = ours(system) + theirs(message) + context;
  return {prompt + cap,
          std::max<uint64_t>(prompt + short_answer, persona::dialogue_estimate(budget))};
}

sql::token_need need_of(const llm::prompt& ask) noexcept {
  const auto prompt = prompt_tokens(ask);
  return {prompt + ask.max_tokens, prompt + std::min(ask.max_tokens, short_answer)};
}

void fit(llm::prompt& ask, uint64_t most) {
  auto prompt = prompt_tokens(ask);
  const auto answer = std::min(ask.max_tokens, some_answer);
  auto keep = ask.messages.begin();
  while (ask.messages.end() - keep > 1 && prompt + answer > most) {
    prompt -= theirs(keep->content);
    ++keep;
  }
  // An answer follows what a user said.
  while (keep != ask.messages.begin() && ask.messages.end() - keep > 1 &&
         keep->role == "assistant") {
    prompt -= theirs(keep->content);
    ++keep;
  }
  ask.messages.erase(ask.messages.begin(), keep);
  const uint64_t left = most > prompt ? most - prompt : 1;
  ask.max_tokens = static_cast<uint32_t>(std::min<uint64_t>(ask.max_tokens, left));
}

refusal refused_by_budget(const sql::token_budget& x, const sql::token_need& need) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const bool soon = x.used + need.least <= x.allowed;
  return {429,
          "Monthly token quota exceeded. " + std::to_string(x.allowed) +
              " tokens per month allowed, " + std::to_string(x.used + x.held) + " used.",
          soon ? 1 : runtime::until_midnight(now), "quota_exceeded"};
}

refusal refused_as_oversized(const sql::token_budget& x, const sql::token_need& need) {
  return {413,
          "This may use " + std::to_string(need.least) + " tokens, and the API key allows " +
              std::to_string(x.allowed) + " tokens per request.",
          0, "tokens_limit_request"};
}

}  // namespace kgents::actors
