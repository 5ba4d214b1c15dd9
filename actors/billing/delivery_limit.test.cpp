#define CAF_SUITE delivery_limit

#include "actors/billing/delivery_limit.hpp"

#include <caf/test/unit_test.hpp>

using namespace kgents::billing;
using namespace std::chrono_literals;

namespace {

int allowed(delivery_limit& x, std::string_view source, int times,
            delivery_limit::clock::time_point now) {
  int out = 0;
  for (int i = 0; i < times; ++i)
    out += x.take(source, now) == 0 ? 1 : 0;
  return out;
}

}  // namespace

CAF_TEST(a hundred a minute and the next is told when) {
  delivery_limit x;
  delivery_limit::clock::time_point now{1h};
  CAF_CHECK_EQUAL(allowed(x, "10.0.0.1", 200, now), 100);
  CAF_CHECK_EQUAL(x.take("10.0.0.1", now), 1u);
  CAF_CHECK_EQUAL(allowed(x, "10.0.0.2", 1, now), 1);
  CAF_CHECK_EQUAL(allowed(x, "10.0.0.1", 200, now + 30s), 50);
  CAF_CHECK_EQUAL(allowed(x, "10.0.0.1", 200, now + 1h), 100);
}

CAF_TEST(a flood of sources costs a bounded table) {
  delivery_limit x;
  const delivery_limit::clock::time_point now{1h};
  for (size_t i = 0; i < 2 * delivery_limit::most_sources; ++i)
    CAF_REQUIRE_EQUAL(x.take(std::to_string(i), now), 0u);
  CAF_CHECK(x.size() <= delivery_limit::most_sources);
  CAF_CHECK_EQUAL(x.take("late", now + 2min), 0u);
  CAF_CHECK_EQUAL(x.size(), 1u);
}
