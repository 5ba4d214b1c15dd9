#define CAF_SUITE gates

#include "runtime/gates.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;

namespace {

using std::chrono::sys_days;

constexpr auto noon = std::chrono::sys_seconds{sys_days{2024y / 1 / 31}} + 12h;

struct fixture {
  std::chrono::steady_clock::time_point now{1h};  // moved by the test
  std::chrono::sys_seconds wall = noon;

  static key_gate gate(key_limits limits, key_gate::usage so_far = {}) {
    return {limits, so_far, std::make_shared<month_tokens>(), noon};
  }

  int allowed(key_gate& x, int times) {
    int count = 0;
    for (int i = 0; i < times; ++i)
      count += x.request(now, wall).allowed ? 1 : 0;
    return count;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(gates_tests, fixture)

CAF_TEST(permits end at the limit and come back when they die) {
  const auto all = std::make_shared<permits>(2u);
  auto first = permits::take(all);
  auto second = permits::take(all);
  CAF_CHECK(first != nullptr);
  CAF_CHECK(second != nullptr);
  CAF_CHECK(permits::take(all) == nullptr);
  CAF_CHECK_EQUAL(all->taken(), 2u);
  first.reset();
  CAF_CHECK_EQUAL(all->taken(), 1u);
  CAF_CHECK(permits::take(all) != nullptr);  // and is given back at once
  CAF_CHECK_EQUAL(all->taken(), 1u);
}

CAF_TEST(a lower limit lets those who have a permit keep it) {
  const auto all = std::make_shared<permits>(3u);
  auto first = permits::take(all);
  auto second = permits::take(all);
  all->set_limit(1);
  CAF_CHECK(permits::take(all) == nullptr);
  first.reset();
  CAF_CHECK(permits::take(all) == nullptr);
  second.reset();
  CAF_CHECK(permits::take(all) != nullptr);
}

CAF_TEST(a permit may outlive everybody else who knows its count) {
  auto all = std::make_shared<permits>(1u);
  auto permit = permits::take(all);
  const std::weak_ptr<permits> watch = all;
  all.reset();
  CAF_CHECK(!watch.expired());
  permit.reset();
  CAF_CHECK(watch.expired());
}

CAF_TEST(tokens of a month are gone with the month) {
  month_tokens x;
  x.set(100, wall);
  x.add(5, wall);
  CAF_CHECK_EQUAL(x.count(wall), 105u);
  const auto february = wall + 24h;
  CAF_CHECK_EQUAL(x.count(february), 0u);
  x.add(7, february);
  CAF_CHECK_EQUAL(x.count(february), 7u);
  CAF_CHECK_EQUAL(x.count(wall), 0u);
}

CAF_TEST(a tenant has one gate whose limits follow its tier) {
  tenant_gates all;
  const tenant_id tenant{uuid::random()};
  const auto gate = all.of(tenant);
  CAF_CHECK_EQUAL(gate->turns->limit(), 4u);
  CAF_CHECK_EQUAL(gate->streams->limit(), 100u);
  CAF_CHECK(all.of(tenant, "enterprise") == gate);
  CAF_CHECK_EQUAL(gate->turns->limit(), 1024u);
  CAF_CHECK(all.of(tenant) == gate);
  CAF_CHECK_EQUAL(gate->turns->limit(), 1024u);
  CAF_CHECK(all.of(tenant_id{uuid::random()}) != gate);
}

CAF_TEST(the gate of a key is found while somebody holds it) {
  tenant_gates all;
  const api_key_id key{uuid::random()};
  CAF_CHECK(all.find(key) == nullptr);
  auto gate = std::make_shared<key_gate>(key_limits{}, key_gate::usage{},
                                         std::make_shared<month_tokens>(), wall);
  all.add(key, gate);
  CAF_CHECK(all.find(key) == gate);
  gate.reset();
  CAF_CHECK(all.find(key) == nullptr);
}

CAF_TEST(a burst passes and then the pace of the minute holds) {
  auto x = gate({.requests_per_minute = 60, .burst = 5});
  CAF_CHECK_EQUAL(allowed(x, 10), 5);
  const auto no = x.request(now, wall);
  CAF_CHECK(!no.allowed);
  CAF_CHECK(!no.hourly);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 1u);
  now += 2s;
  CAF_CHECK_EQUAL(allowed(x, 10), 2);
  now += 1h;
  CAF_CHECK_EQUAL(allowed(x, 10), 5);
}

CAF_TEST(a refused request is told how long a slow bucket takes) {
  auto x = gate({.requests_per_minute = 6, .burst = 1});
  CAF_CHECK_EQUAL(allowed(x, 1), 1);
  CAF_CHECK_EQUAL(x.request(now, wall).retry_after_seconds, 10u);
  now += 9s;
  CAF_CHECK_EQUAL(x.request(now, wall).retry_after_seconds, 1u);
  now += 1s;
  CAF_CHECK(x.request(now, wall).allowed);
}

CAF_TEST(a key without a burst has one of one request) {
  auto x = gate({.requests_per_minute = 60});
  CAF_CHECK_EQUAL(allowed(x, 3), 1);
}

CAF_TEST(the limit of the hour holds until the hour is over) {
  auto x = gate({.requests_per_hour = 3});
  CAF_CHECK_EQUAL(allowed(x, 5), 3);
  wall += 59min;
  const auto no = x.request(now, wall);
  CAF_CHECK(!no.allowed);
  CAF_CHECK(no.hourly);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 60u);
  wall += 1min;
  CAF_CHECK_EQUAL(allowed(x, 5), 3);
}

CAF_TEST(a key without limits owes nothing when it gets one) {
  auto x = gate({});
  CAF_CHECK_EQUAL(allowed(x, 10'000), 10'000);
  x.set_limits({.requests_per_minute = 60, .burst = 5});
  CAF_CHECK_EQUAL(allowed(x, 10), 5);
  CAF_CHECK_EQUAL(x.look(wall).left_this_minute, 0u);
}

CAF_TEST(operations are counted when they are refused and start again at midnight) {
  auto x = gate({.operations_per_day = 3}, {2, 0});
  CAF_CHECK(x.operation(wall).allowed);
  const auto no = x.operation(wall);
  CAF_CHECK(!no.allowed);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 12u * 3600u);
  CAF_CHECK_EQUAL(x.look(wall).used.operations_today, 4u);
  wall += 12h;
  CAF_CHECK(x.operation(wall).allowed);
  CAF_CHECK_EQUAL(x.look(wall).used.operations_today, 1u);
}

CAF_TEST(tokens fit up to the limit of the month and not beyond) {
  auto x = gate({.tokens_per_month = 100});
  CAF_CHECK(x.fits(100, wall));
  x.add_tokens(60, wall);
  CAF_CHECK(x.fits(40, wall));
  CAF_CHECK(!x.fits(41, wall));
  CAF_CHECK_EQUAL(x.look(wall).used.tokens_today, 60u);
  CAF_CHECK_EQUAL(x.look(wall).tokens_month, 60u);
  CAF_CHECK(x.fits(100, wall + 24h));
}

CAF_TEST(midnight is never zero seconds away) {
  const std::chrono::sys_seconds midnight{sys_days{2024y / 2 / 1}};
  CAF_CHECK_EQUAL(until_midnight(midnight - 1s), 1u);
  CAF_CHECK_EQUAL(until_midnight(midnight), 86'400u);
}

CAF_TEST_FIXTURE_SCOPE_END()
