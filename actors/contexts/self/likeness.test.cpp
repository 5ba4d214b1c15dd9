#define CAF_SUITE likeness

#include "actors/contexts/self/likeness.hpp"

#include <caf/test/dsl.hpp>
#include <cmath>
#include <limits>

using namespace kgents::actors::self_memory;
namespace json = boost::json;

namespace {

double cosine(std::string_view a, std::string_view b) {
  const auto x = text_vector(a);
  const auto y = text_vector(b);
  double out = 0;
  for (size_t i = 0; i < x.size(); ++i)
    out += static_cast<double>(x[i]) * y[i];
  return out;
}

}  // namespace

CAF_TEST(a text is like itself and less like others the less they share) {
  const auto* text = "sailing boats need steady wind";
  CAF_CHECK(std::abs(cosine(text, text) - 1.0) < 1e-5);
  const auto near = cosine(text, "a boat is sailing in the wind");
  const auto far = cosine(text, "quarterly tax report for accounting");
  CAF_CHECK(near > 0.4);
  CAF_CHECK(far < 0.2);
  CAF_CHECK(cosine("", text) == 0.0);
}

CAF_TEST(a given vector is scaled to length one or refused) {
  const auto x = unit_vector({3, 4.0});
  CAF_REQUIRE(x.has_value());
  CAF_CHECK(std::abs((*x)[0] - 0.6f) < 1e-6f);
  CAF_CHECK(!unit_vector({}));
  CAF_CHECK(!unit_vector({0, 0}));
  CAF_CHECK(!unit_vector({1, "x"}));
  CAF_CHECK(!unit_vector({1e200}));
  json::array long_one;
  for (size_t i = 0; i <= most_dimensions; ++i)
    long_one.emplace_back(1);
  CAF_CHECK(!unit_vector(long_one));
}

CAF_TEST(what is relevant is promoted and what only costs is demoted) {
  const auto relevant = energy_of(distinct_words("a short note"), 1.0, 0);
  CAF_CHECK_EQUAL(relevant.advice(), "promote");
  CAF_CHECK(relevant.retain());
  const auto costly = energy_of(1'000, 0.0, 5);
  CAF_CHECK_EQUAL(costly.advice(), "demote");
  CAF_CHECK(!costly.retain());
  CAF_CHECK_EQUAL(energy_of(3, 0.5, 0).advice(), "retain");
  // Traces that were left at it speak for it, but not without bound.
  CAF_CHECK(energy_of(1, 0.5, 1).value() < energy_of(1, 0.5, 0).value());
  CAF_CHECK_EQUAL(energy_of(1, 0.5, 1).value(), energy_of(1, 0.5, 100).value());
}

CAF_TEST(words count once) {
  CAF_CHECK_EQUAL(distinct_words("Wind, wind; and no WIND."), 3u);
  CAF_CHECK_EQUAL(distinct_words(" ?! "), 0u);
}
