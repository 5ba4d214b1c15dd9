#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// Licence tiers and what belongs to them (events-and-billing.md section 7). Pure data; the limits
/// that are enforced are the rows of kg.tier_limits, not these.
namespace kgents::licence {

/// In their order: each has the features of those before it.
enum class tier : uint8_t { free, pro, teams, enterprise };

struct terms {
  std::string_view name;      ///< FREE, PRO, TEAMS, ENTERPRISE
  int32_t calls_per_day = 0;  ///< -1: unlimited
  int32_t members = 0;        ///< -1: unlimited
  std::string_view support;   ///< community, email, priority, dedicated
  bool branding = false;
  bool priority = false;
  bool sla = false;
};

[[nodiscard]] const terms& terms_of(tier x) noexcept;

/// The licence of a subscription's tier: free and starter are FREE, team is TEAMS, enterprise and
/// custom are ENTERPRISE. Any case; none for what is no tier.
[[nodiscard]] std::optional<tier> of_subscription(std::string_view subscription) noexcept;

/// All features of the tier, those of lower ones first.
[[nodiscard]] std::span<const std::string_view> features_of(tier x) noexcept;

/// The least tier that has it; none for what is no feature.
[[nodiscard]] std::optional<tier> needed_for(std::string_view feature) noexcept;

/// False for what is no feature.
[[nodiscard]] bool allows(tier have, std::string_view feature) noexcept;

/// What the 403 says, whose code is `tier_required`.
[[nodiscard]] std::string refusal_text(std::string_view feature, tier needed, tier have);
inline constexpr std::string_view refusal_code = "tier_required";

/// The first that is known: the argument, the call's, the request's; FREE when none is.
[[nodiscard]] tier effective(std::optional<tier> argument, std::optional<tier> call,
                             std::optional<tier> request) noexcept;

}  // namespace kgents::licence
