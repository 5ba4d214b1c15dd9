#define CAF_SUITE licence

#include "protocol/licence.hpp"

#include <algorithm>
#include <set>

#include <caf/test/dsl.hpp>

using namespace kgents::licence;

namespace {

constexpr tier all[] = {tier::free, tier::pro, tier::teams, tier::enterprise};

}  // namespace

CAF_TEST(tiers are ordered and each has the features of those below) {
  constexpr size_t counts[] = {5, 21, 27, 35};
  for (size_t i = 0; i < 4; ++i) {
    const auto mine = features_of(all[i]);
    CAF_CHECK_EQUAL(mine.size(), counts[i]);
    CAF_CHECK_EQUAL((std::set<std::string_view>{mine.begin(), mine.end()}.size()), counts[i]);
    if (i > 0) {
      CAF_CHECK(all[i - 1] < all[i]);
      const auto below = features_of(all[i - 1]);
      CAF_CHECK(std::equal(below.begin(), below.end(), mine.begin()));
    }
  }
}

CAF_TEST(a feature is allowed from its tier on) {
  for (const auto feature : features_of(tier::enterprise)) {
    const auto needed = needed_for(feature);
    CAF_REQUIRE(needed.has_value());
    for (const auto x : all) {
      const auto mine = features_of(x);
      CAF_CHECK_EQUAL(allows(x, feature),
                      std::find(mine.begin(), mine.end(), feature) != mine.end());
      CAF_CHECK_EQUAL(allows(x, feature), x >= *needed);
    }
  }
  CAF_CHECK(needed_for("soul_reflect") == tier::free);
  CAF_CHECK(needed_for("map_basic") == tier::free);
  CAF_CHECK(needed_for("soul_advise") == tier::pro);
  CAF_CHECK(needed_for("gatekeeper") == tier::pro);
  CAF_CHECK(needed_for("audit_logs") == tier::teams);
  CAF_CHECK(needed_for("on_premise") == tier::enterprise);
}

CAF_TEST(what is no feature is allowed to nobody) {
  CAF_CHECK(!needed_for("time_travel"));
  CAF_CHECK(!allows(tier::enterprise, "time_travel"));
  CAF_CHECK(!allows(tier::enterprise, ""));
}

CAF_TEST(a refusal names the feature and both tiers) {
  CAF_CHECK_EQUAL(refusal_text("audit_logs", tier::teams, tier::free),
                  "Feature 'audit_logs' requires TEAMS tier. Current tier: FREE. "
                  "Upgrade at https://kgents.io/pricing");
}

CAF_TEST(each subscription has a licence) {
  CAF_CHECK(of_subscription("free") == tier::free);
  CAF_CHECK(of_subscription("starter") == tier::free);
  CAF_CHECK(of_subscription("PRO") == tier::pro);
  CAF_CHECK(of_subscription("team") == tier::teams);
  CAF_CHECK(of_subscription("enterprise") == tier::enterprise);
  CAF_CHECK(of_subscription("custom") == tier::enterprise);
  CAF_CHECK(!of_subscription("unheard of"));
  CAF_CHECK(!of_subscription(""));
}

CAF_TEST(the nearest source of a tier wins) {
  CAF_CHECK(effective(tier::pro, tier::free, tier::enterprise) == tier::pro);
  CAF_CHECK(effective({}, tier::teams, tier::enterprise) == tier::teams);
  CAF_CHECK(effective({}, {}, tier::enterprise) == tier::enterprise);
  CAF_CHECK(effective({}, {}, {}) == tier::free);
}

CAF_TEST(the terms are those of the table) {
  CAF_CHECK_EQUAL(terms_of(tier::free).calls_per_day, 100);
  CAF_CHECK_EQUAL(terms_of(tier::teams).members, 10);
  CAF_CHECK_EQUAL(terms_of(tier::enterprise).calls_per_day, -1);
  CAF_CHECK_EQUAL(terms_of(tier::pro).support, "email");
  CAF_CHECK(terms_of(tier::enterprise).sla && !terms_of(tier::teams).sla);
}
