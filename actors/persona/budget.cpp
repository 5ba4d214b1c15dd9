#include "actors/persona/budget.hpp"

#include <algorithm>

#include "actors/persona/text.hpp"
#include "protocol/licence.hpp"

namespace kgents::persona {

namespace {

struct row {
  std::string_view name;
  uint32_t cap;
  uint32_t estimate;
};

constexpr std::array<row, all_budgets.size()> table{{
    {"dormant", 0, 0},
    {"whisper", 100, 100},
    {"dialogue", 4'000, 500},
    {"deep", 8'000, 1'000},
}};

const row& of(budget_tier x) noexcept { return table[static_cast<size_t>(x)]; }

struct plan_row {
  size_t allowed;  // the first so many of all_budgets
  budget_tier default_tier;
};

// In the order of licence::tier.
constexpr plan_row plans[] = {
    {2, budget_tier::whisper},
    {3, budget_tier::dialogue},
    {3, budget_tier::dialogue},
    {4, budget_tier::deep},
};

}  // namespace

std::optional<budget_tier> parse_budget(std::string_view name) noexcept {
  for (auto x : all_budgets)
    if (same_folded(of(x).name, name))
      return x;
  return std::nullopt;
}

std::string_view name(budget_tier x) noexcept { return of(x).name; }
uint32_t token_cap(budget_tier x) noexcept { return of(x).cap; }

budget_tier tier_for_tokens(uint64_t tokens) noexcept {
  for (auto x : all_budgets)
    if (of(x).cap >= tokens)
      return x;
  return budget_tier::deep;
}

uint32_t dialogue_estimate(budget_tier x) noexcept { return of(x).estimate; }

uint32_t governance_estimate(budget_tier x) noexcept { return x == budget_tier::deep ? 500 : 150; }

bool plan_budgets::allows(budget_tier x) const noexcept {
  return std::find(allowed.begin(), allowed.end(), x) != allowed.end();
}

budget_tier plan_budgets::usable_default() const noexcept {
  return allows(default_tier) ? default_tier : budget_tier::dormant;
}

plan_budgets budgets_of(std::string_view plan) noexcept {
  const std::span<const budget_tier> all{all_budgets};
  if (const auto licence = licence::of_subscription(plan)) {
    const auto& x = plans[static_cast<size_t>(*licence)];
    return {all.first(x.allowed), x.default_tier};
  }
  return {all.first(1), budget_tier::whisper};
}

budget_tier session_budget(std::string_view plan) noexcept {
  return std::min(budgets_of(plan).usable_default(), budget_tier::dialogue);
}

std::string budget_refusal(std::string_view budget, std::string_view plan) {
  std::string tier(plan);
  std::transform(tier.begin(), tier.end(), tier.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  // Whatever was asked for is echoed, but not megabytes of it.
  return "Budget tier '" + folded(first_code_points(budget, 64)) + "' not available for " + tier +
         " tier";
}

}  // namespace kgents::persona
