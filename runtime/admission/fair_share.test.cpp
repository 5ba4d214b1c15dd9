#define CAF_SUITE fair_share

#include "runtime/admission/fair_share.hpp"

#include <caf/test/dsl.hpp>
#include <vector>

using namespace std::chrono_literals;
using namespace kgents::runtime;

namespace {

struct fixture {
  fair_share shares{30};
  std::chrono::steady_clock::time_point now{1h};
  std::shared_ptr<fair_share::tenant> noisy = std::make_shared<fair_share::tenant>();
  std::shared_ptr<fair_share::tenant> quiet = std::make_shared<fair_share::tenant>();
  std::vector<fair_share::place> held;

  /// How many of so many are let in, and stay.
  int enter(const std::shared_ptr<fair_share::tenant>& who, uint32_t weight, int times) {
    int count = 0;
    for (int i = 0; i < times; ++i)
      if (auto place = shares.enter(who, weight, now)) {
        held.push_back(std::move(place));
        ++count;
      }
    return count;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(fair_share_tests, fixture)

CAF_TEST(the weights are the ranks of the tiers) {
  CAF_CHECK_EQUAL(weight_of("free"), 1u);
  CAF_CHECK_EQUAL(weight_of("pro"), 3u);
  CAF_CHECK_EQUAL(weight_of("custom"), 6u);
  CAF_CHECK_EQUAL(weight_of("no such"), 1u);
}

CAF_TEST(who is alone has the node to itself) { CAF_CHECK_EQUAL(enter(noisy, 1, 1000), 1000); }

CAF_TEST(nobody is refused below the threshold) {
  CAF_CHECK_EQUAL(enter(quiet, 6, 1), 1);
  CAF_CHECK_EQUAL(enter(noisy, 1, 29), 29);
}

CAF_TEST(above it a tenant over its share is refused and another is not) {
  CAF_CHECK_EQUAL(enter(quiet, 1, 1), 1);
  CAF_CHECK_EQUAL(enter(noisy, 1, 1000), 29);
  CAF_CHECK_EQUAL(enter(quiet, 1, 20), 14);  // its half of thirty
  held.clear();
  CAF_CHECK_EQUAL(shares.in_flight(), 0u);
  CAF_CHECK_EQUAL(enter(noisy, 1, 1000), 30);
}

CAF_TEST(shares follow the weights) {
  CAF_CHECK_EQUAL(enter(quiet, 5, 1), 1);
  CAF_CHECK_EQUAL(enter(noisy, 1, 1000), 29);
  CAF_CHECK_EQUAL(enter(quiet, 5, 1000), 24);
}

CAF_TEST(who has gone quiet has no share any more) {
  CAF_CHECK_EQUAL(enter(quiet, 1, 1), 1);
  CAF_CHECK_EQUAL(enter(noisy, 1, 1000), 29);
  now += 1s;
  CAF_CHECK_EQUAL(enter(noisy, 1, 1), 0);
  now += 1s;
  CAF_CHECK_EQUAL(enter(noisy, 1, 10), 10);
}

CAF_TEST(a place is given back once) {
  auto first = shares.enter(quiet, 1, now);
  auto second = std::move(first);
  CAF_CHECK_EQUAL(shares.in_flight(), 1u);
  second.release();
  second.release();
  CAF_CHECK_EQUAL(shares.in_flight(), 0u);
  CAF_CHECK_EQUAL(quiet->in_flight.load(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
