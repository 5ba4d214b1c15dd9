#define CAF_SUITE circuit_breaker

#include "runtime/circuit_breaker.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace std::chrono_literals;
using kgents::runtime::breaker_state;
using kgents::runtime::circuit_breaker;

namespace {

struct fixture {
  circuit_breaker breaker;
  circuit_breaker::time_point now{};  // moved by the test, never by the machine

  void fail(int times) {
    for (int i = 0; i < times; ++i)
      breaker.failed(now);
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(circuit_breaker_tests, fixture)

CAF_TEST(the fifth failure in a row opens it and the fourth does not ) {
  fail(4);
  CAF_CHECK(breaker.state() == breaker_state::closed);
  fail(1);
  CAF_CHECK(breaker.state() == breaker_state::open);
  CAF_CHECK(!breaker.admits(now));
}

CAF_TEST(a success in between starts the count again) {
  fail(4);
  breaker.succeeded();
  fail(4);
  CAF_CHECK(breaker.state() == breaker_state::closed);
}

CAF_TEST(after thirty seconds it lets one probe through at a time) {
  fail(5);
  now += 30s;
  CAF_CHECK(breaker.admits(now));
  CAF_CHECK(!breaker.admits(now));
  breaker.succeeded();
  CAF_CHECK(breaker.admits(now));
}

CAF_TEST(three probes close it and one failed probe opens it for another thirty seconds) {
  fail(5);
  now += 30s;
  for (int i = 0; i < 3; ++i) {
    CAF_REQUIRE(breaker.admits(now));
    breaker.succeeded();
  }
  CAF_CHECK(breaker.state() == breaker_state::closed);
  fail(5);
  now += 30s;
  CAF_REQUIRE(breaker.admits(now));
  breaker.failed(now);
  now += 29s;
  CAF_CHECK(!breaker.admits(now));
  now += 1s;
  CAF_CHECK(breaker.admits(now));
}

CAF_TEST_FIXTURE_SCOPE_END()
