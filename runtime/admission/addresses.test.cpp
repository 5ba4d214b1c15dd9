#define CAF_SUITE addresses

#include "runtime/admission/addresses.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents::runtime;

namespace {

struct fixture {
  address_limits limits{60};
  address_limits::clock::time_point now{1h};

  int allowed(std::string_view who, int times) {
    int count = 0;
    for (int i = 0; i < times; ++i)
      count += limits.take(who, now) == 0 ? 1 : 0;
    return count;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(addresses_tests, fixture)

CAF_TEST(sixty a minute and the next is told when) {
  CAF_CHECK_EQUAL(allowed("10.0.0.1", 61), 60);
  CAF_CHECK_EQUAL(limits.take("10.0.0.1", now), 1u);
  CAF_CHECK_EQUAL(allowed("10.0.0.2", 1), 1);
  now += 3s;
  CAF_CHECK_EQUAL(allowed("10.0.0.1", 10), 3);
  now += 1h;
  CAF_CHECK_EQUAL(allowed("10.0.0.1", 100), 60);
}

CAF_TEST(a client has one address however it is written) {
  CAF_CHECK_EQUAL(client_of("::ffff:10.0.0.1"), "10.0.0.1");
  CAF_CHECK_EQUAL(client_of("2001:db8:1:2:3:4:5:6"), client_of("2001:db8:1:2::1"));
  CAF_CHECK(client_of("2001:db8:1:2::1") != client_of("2001:db8:1:3::1"));
  CAF_CHECK(is_loopback("127.0.0.1"));
  CAF_CHECK(is_loopback("::1"));
  CAF_CHECK(is_loopback("::ffff:127.0.0.1"));
  CAF_CHECK(!is_loopback("10.0.0.1"));
  CAF_CHECK(!is_loopback(""));
}

CAF_TEST(many addresses take no more than the table) {
  for (int i = 0; i < 40'000; ++i)
    CAF_CHECK_EQUAL(limits.take("10." + std::to_string(i / 65536) + "." +
                                    std::to_string(i / 256 % 256) + "." + std::to_string(i % 256),
                                now),
                    0u);
  CAF_CHECK(limits.size() <= address_limits::most_addresses);
}

CAF_TEST_FIXTURE_SCOPE_END()
