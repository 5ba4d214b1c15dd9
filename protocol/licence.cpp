#include "protocol/licence.hpp"

#include <algorithm>
#include <array>

namespace kgents::licence {

namespace {

constexpr terms all_terms[] = {
    {"FREE", 100, 1, "community", false, false, false},
    {"PRO", 10'000, 1, "email", false, false, false},
    {"TEAMS", 100'000, 10, "priority", false, true, false},
    {"ENTERPRISE", -1, -1, "dedicated", true, true, true},
};

// In the order of their tiers, so that a tier has the first so many.
constexpr std::string_view features[] = {
    "soul_reflect", "status", "parse_basic", "trace_basic", "map_basic",
    // PRO
    "soul_advise", "soul_challenge", "soul_explore", "soul_vibe", "soul_drift", "soul_tense",
    "whatif", "shadow", "dialectic", "parse_all", "approve", "budget_dashboard", "garden_advanced",
    "hypnagogia", "watcher", "gatekeeper",
    // TEAMS
    "team_collaboration", "shared_gardens", "team_analytics", "role_based_access", "audit_logs",
    "team_dashboard",
    // ENTERPRISE
    "custom_deployment", "sso", "dedicated_support", "custom_integrations", "white_label",
    "unlimited_api", "custom_models", "on_premise"};

constexpr std::array<size_t, 4> counts{5, 21, 27, 35};
static_assert(counts.back() == std::size(features));

struct mapping {
  std::string_view subscription;
  tier licence;
};
constexpr mapping subscriptions[] = {
    {"free", tier::free},   {"starter", tier::free},          {"pro", tier::pro},
    {"team", tier::teams},  {"enterprise", tier::enterprise}, {"custom", tier::enterprise},
};

bool same_folded(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

}  // namespace

const terms& terms_of(tier x) noexcept { return all_terms[static_cast<size_t>(x)]; }

std::optional<tier> of_subscription(std::string_view subscription) noexcept {
  for (const auto& x : subscriptions)
    if (same_folded(x.subscription, subscription))
      return x.licence;
  return std::nullopt;
}

std::span<const std::string_view> features_of(tier x) noexcept {
  return std::span{features}.first(counts[static_cast<size_t>(x)]);
}

std::optional<tier> needed_for(std::string_view feature) noexcept {
  const auto at = std::find(std::begin(features), std::end(features), feature);
  if (at == std::end(features))
    return std::nullopt;
  const auto place = static_cast<size_t>(at - std::begin(features));
  const auto first = std::upper_bound(counts.begin(), counts.end(), place);
  return static_cast<tier>(first - counts.begin());
}

bool allows(tier have, std::string_view feature) noexcept {
  const auto needed = needed_for(feature);
  return needed && *needed <= have;
}

std::string refusal_text(std::string_view feature, tier needed, tier have) {
  std::string out = "Feature '";
  out += feature;
  out += "' requires ";
  out += terms_of(needed).name;
  out += " tier. Current tier: ";
  out += terms_of(have).name;
  out += ". Upgrade at https://kgents.io/pricing";
  return out;
}

tier effective(std::optional<tier> argument, std::optional<tier> call,
               std::optional<tier> request) noexcept {
  return argument ? *argument : call ? *call : request.value_or(tier::free);
}

}  // namespace kgents::licence
