#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kgents::persona {

/// How much an answer may cost; the order is the order of cost.
enum class budget_tier : uint8_t { dormant, whisper, dialogue, deep };

inline constexpr std::array all_budgets{budget_tier::dormant, budget_tier::whisper,
                                        budget_tier::dialogue, budget_tier::deep};
constexpr budget_tier default_budget = budget_tier::dialogue;

/// A whisper costs this much, whatever it says.
constexpr uint32_t whisper_tokens = 50;

/// Output cap of an answer that stands alone (soul dialogue); answers in a session go up to their
/// tier's cap.
constexpr uint32_t single_turn_output_tokens = 500;

[[nodiscard]] std::optional<budget_tier> parse_budget(
    std::string_view name) noexcept;                          ///< any case
[[nodiscard]] std::string_view name(budget_tier x) noexcept;  ///< lower case

/// Tokens that one answer of this tier may use: 0, 100, 4,000, 8,000. Not the quota estimates.
[[nodiscard]] uint32_t token_cap(budget_tier x) noexcept;

/// The smallest tier whose cap is at least `tokens`; above every cap: deep.
[[nodiscard]] budget_tier tier_for_tokens(uint64_t tokens) noexcept;

/// What a soul dialogue is expected to cost when the monthly quota is checked: 0, 100, 500, 1,000.
[[nodiscard]] uint32_t dialogue_estimate(budget_tier x) noexcept;

/// The same for a governance check: 500 when deep, otherwise 150.
[[nodiscard]] uint32_t governance_estimate(budget_tier x) noexcept;

/// What a plan may use (http-api.md 4.3). An unknown plan may only be dormant, yet its default says
/// whisper: callers that act on the default take `usable_default`.
struct plan_budgets {
  std::span<const budget_tier> allowed;
  budget_tier default_tier = budget_tier::whisper;

  [[nodiscard]] bool allows(budget_tier x) const noexcept;
  [[nodiscard]] budget_tier usable_default() const noexcept;
};

/// `plan` is the tenant's tier ("FREE", "PRO", "ENTERPRISE"), in any case.
[[nodiscard]] plan_budgets budgets_of(std::string_view plan) noexcept;

/// What answers in a session may cost: the plan's usable default, but never more than dialogue.
[[nodiscard]] budget_tier session_budget(std::string_view plan) noexcept;

/// The text of the 403 for a budget, known or not, that the plan does not have.
[[nodiscard]] std::string budget_refusal(std::string_view budget, std::string_view plan);

}  // namespace kgents::persona
