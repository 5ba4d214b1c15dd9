#define CAF_SUITE patience

#include "gateway/program/kg/patience.hpp"

#include <caf/test/dsl.hpp>

using kgents::kg::patience;
using namespace std::chrono_literals;

CAF_TEST(waits double with jitter up to a bound) {
  patience x{60s, 1};
  const auto now = patience::clock::now();
  auto most = patience::first_wait;
  for (int i = 0; i < 12; ++i) {
    const auto wait = x.next(now);
    CAF_REQUIRE(wait.has_value());
    CAF_CHECK(*wait >= most / 2);
    CAF_CHECK(*wait <= most);
    most = std::min(2 * most, patience::longest_wait);
  }
  CAF_CHECK(patience(60s, 1).next(now) != patience(60s, 7).next(now));
}

CAF_TEST(what the server asks for is the least but never beyond the end) {
  patience x{10s, 1};
  const auto now = patience::clock::now();
  CAF_CHECK(x.next(now, 3s) == 3s);
  CAF_CHECK(x.next(now + 8s, 5s) == 2s);
  CAF_CHECK(!x.next(now + 10s));
  x.reached();
  CAF_CHECK(x.next(now + 10s).has_value());
}
