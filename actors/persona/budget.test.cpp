#define CAF_SUITE budget

#include "actors/persona/budget.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::persona;

namespace {

std::vector<budget_tier> allowed(std::string_view plan) {
  const auto span = budgets_of(plan).allowed;
  return {span.begin(), span.end()};
}

constexpr auto dormant = budget_tier::dormant;
constexpr auto whisper = budget_tier::whisper;
constexpr auto dialogue = budget_tier::dialogue;
constexpr auto deep = budget_tier::deep;

}  // namespace

CAF_TEST(a budget is parsed in any case and nothing else is a budget) {
  for (auto x : all_budgets)
    CAF_CHECK(parse_budget(name(x)) == x);
  CAF_CHECK(parse_budget("WHISPER") == whisper);
  CAF_CHECK(!parse_budget("invalid"));
  CAF_CHECK(!parse_budget(""));
}

CAF_TEST(caps and quota estimates are two tables) {
  constexpr uint32_t caps[] = {0, 100, 4'000, 8'000};
  constexpr uint32_t estimates[] = {0, 100, 500, 1'000};
  constexpr uint32_t governance[] = {150, 150, 150, 500};
  for (auto x : all_budgets) {
    const auto i = static_cast<size_t>(x);
    CAF_CHECK_EQUAL(token_cap(x), caps[i]);
    CAF_CHECK_EQUAL(dialogue_estimate(x), estimates[i]);
    CAF_CHECK_EQUAL(governance_estimate(x), governance[i]);
  }
}

CAF_TEST(the tier for a number of tokens is the smallest that can hold them) {
  CAF_CHECK(tier_for_tokens(0) == dormant);
  CAF_CHECK(tier_for_tokens(1) == whisper);
  CAF_CHECK(tier_for_tokens(100) == whisper);
  CAF_CHECK(tier_for_tokens(101) == dialogue);
  CAF_CHECK(tier_for_tokens(4'000) == dialogue);
  CAF_CHECK(tier_for_tokens(4'001) == deep);
  CAF_CHECK(tier_for_tokens(8'000) == deep);
  CAF_CHECK(tier_for_tokens(1'000'000) == deep);
}

CAF_TEST(each plan allows what the contract says) {
  CAF_CHECK(allowed("FREE") == (std::vector{dormant, whisper}));
  CAF_CHECK(allowed("pro") == (std::vector{dormant, whisper, dialogue}));
  CAF_CHECK(allowed("Enterprise") == (std::vector{dormant, whisper, dialogue, deep}));
  CAF_CHECK(allowed("starter") == allowed("FREE"));
  CAF_CHECK(allowed("team") == allowed("PRO"));
  CAF_CHECK(allowed("custom") == allowed("ENTERPRISE"));
  CAF_CHECK(budgets_of("FREE").default_tier == whisper);
  CAF_CHECK(budgets_of("PRO").default_tier == dialogue);
  CAF_CHECK(budgets_of("ENTERPRISE").default_tier == deep);
  CAF_CHECK(!budgets_of("FREE").allows(dialogue));
  CAF_CHECK(budgets_of("FREE").allows(whisper));
}

CAF_TEST(an unknown plan says whisper but may only be dormant) {
  CAF_CHECK(allowed("unheard of") == (std::vector{dormant}));
  CAF_CHECK(budgets_of("unheard of").default_tier == whisper);
  CAF_CHECK(budgets_of("unheard of").usable_default() == dormant);
  CAF_CHECK(budgets_of("").usable_default() == dormant);
}

CAF_TEST(a session never gets more than dialogue) {
  CAF_CHECK(session_budget("free") == whisper);
  CAF_CHECK(session_budget("pro") == dialogue);
  CAF_CHECK(session_budget("enterprise") == dialogue);
  CAF_CHECK(session_budget("unheard of") == dormant);
}

CAF_TEST(a refusal names the budget and the plan) {
  CAF_CHECK_EQUAL(budget_refusal("DEEP", "free"), "Budget tier 'deep' not available for FREE tier");
  CAF_CHECK(budget_refusal(std::string(100'000, 'x'), "pro").size() < 200);
}
