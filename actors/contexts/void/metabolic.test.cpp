#define CAF_SUITE metabolic

#include "actors/contexts/void/metabolic.hpp"

#include <cmath>

#include <caf/test/dsl.hpp>

using namespace kgents::actors::void_nodes;
using kgents::sql::metabolism;
using kgents::sql::tokens_of_second;

namespace {

bool near(double a, double b) { return std::abs(a - b) < 1e-9; }

metabolism at_rest(double pressure = 0) { return {.pressure = pressure, .settled_to = 1000}; }

}  // namespace

CAF_TEST(a thousandth of pressure a token and one per cent less a second) {
  const tokens_of_second used[] = {{1000, 100, 200}};
  const auto x = advance(at_rest(), used, 1010);
  CAF_CHECK(near(x.state.pressure, 0.3 * std::pow(0.99, 10)));
  CAF_CHECK_EQUAL(x.state.settled_to, 1010);
  CAF_CHECK(x.fevers.empty());
}

CAF_TEST(it makes no difference when it is looked at) {
  const tokens_of_second used[] = {{1001, 100, 0}, {1030, 700, 400}, {1100, 50, 50}};
  const auto once = advance(at_rest(0.2), used, 1200);
  auto steps = at_rest(0.2);
  for (const auto& second : used)
    steps = advance(steps, {&second, 1}, static_cast<double>(second.second) + 3).state;
  steps = advance(steps, {}, 1200).state;
  CAF_CHECK(near(once.state.pressure, steps.pressure));
  CAF_CHECK_EQUAL(once.state.fevers, steps.fevers);
}

CAF_TEST(a fever halves the pressure and draws half its intensity) {
  const tokens_of_second used[] = {{1000, 600, 600}};
  const auto x = advance(at_rest(), used, 1000);
  CAF_REQUIRE_EQUAL(x.fevers.size(), 1u);
  CAF_CHECK(near(x.fevers[0].intensity, 1.2));
  CAF_CHECK(near(x.fevers[0].draw, 0.6));
  CAF_CHECK(near(x.state.pressure, 0.6));
  CAF_CHECK(x.state.in_fever);
  CAF_CHECK_EQUAL(x.state.fevers, 1u);
}

CAF_TEST(no fever draws more than one) {
  const tokens_of_second used[] = {{1000, 50'000, 0}};
  CAF_CHECK(near(advance(at_rest(), used, 1000).fevers.at(0).draw, 1.0));
}

CAF_TEST(exactly one brings a fever and less does not ) {
  const tokens_of_second enough[] = {{1000, 1000, 0}};
  CAF_CHECK_EQUAL(advance(at_rest(), enough, 1000).fevers.size(), 1u);
  const tokens_of_second less[] = {{1000, 999, 0}};
  CAF_CHECK(advance(at_rest(), less, 1000).fevers.empty());
}

CAF_TEST(a fever lasts until pressure is below a half and no second one begins within it) {
  const tokens_of_second used[] = {{1000, 1200, 0}, {1001, 900, 0}};
  const auto x = advance(at_rest(), used, 1001);
  CAF_CHECK_EQUAL(x.fevers.size(), 1u);
  CAF_CHECK(x.state.in_fever);
  const auto later = advance(x.state, {}, 1200);
  CAF_CHECK(later.state.pressure < 0.5);
  CAF_CHECK(!later.state.in_fever);
  const tokens_of_second more[] = {{1200, 2000, 0}};
  CAF_CHECK_EQUAL(advance(later.state, more, 1200).state.fevers, 2u);
}

CAF_TEST(a clock that goes back changes nothing) {
  const tokens_of_second old[] = {{900, 100, 0}};
  const auto x = advance(at_rest(0.4), old, 950);
  CAF_CHECK(near(x.state.pressure, 0.5));
  CAF_CHECK_EQUAL(x.state.settled_to, 1000);
}

CAF_TEST(a tithe lets off what is there and may end a fever) {
  auto x = at_rest(0.55);
  x.in_fever = true;
  CAF_CHECK(near(discharge(x, 0.1), 0.1));
  CAF_CHECK(!x.in_fever);
  CAF_CHECK(near(discharge(x, 5), 0.45));
  CAF_CHECK_EQUAL(x.pressure, 0);
  CAF_CHECK_EQUAL(discharge(x, 5), 0);
}

CAF_TEST(the temperature is what goes in over what comes out) {
  CAF_CHECK_EQUAL(temperature(0, 0), 0);
  CAF_CHECK_EQUAL(temperature(10, 0), 2);
  CAF_CHECK_EQUAL(temperature(10, 20), 0.5);
  CAF_CHECK_EQUAL(temperature(1000, 20), 2);
}
