#define CAF_SUITE gates

#include "runtime/gates.hpp"

#include <algorithm>
#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;

namespace {

using std::chrono::sys_days;

constexpr auto noon = std::chrono::sys_seconds{sys_days{2024y / 1 / 31}} + 12h;

struct fixture {
  std::chrono::sys_seconds wall = noon;  // moved by the test
  uint64_t counter = 0;                  // PostgreSQL's
  int asked = 0;

  static key_gate gate(key_limits limits, key_gate::usage so_far = {}) {
    return {limits, so_far, std::make_shared<month_tokens>(),
            std::make_shared<traffic_gate>(limits.traffic()), noon};
  }

  /// So many operations, one after the other; kg.take_operations in small. How many passed.
  int operations(key_gate& x, int times) {
    int count = 0;
    for (int i = 0; i < times; ++i) {
      const auto decided = [&](verdict v) { count += v.allowed ? 1 : 0; };
      const auto taken = x.operation(wall, [&] { return decided; });
      if (taken.at_once)
        decided(*taken.at_once);
      for (bool again = taken.ask; again;) {
        ++asked;
        const auto wanted = x.question();
        const auto left = wanted.limit > counter ? wanted.limit - counter : 0;
        const auto granted = static_cast<uint32_t>(std::min<uint64_t>(wanted.count, left));
        counter += std::max(1u, granted);
        again = x.granted(wanted, granted, counter, wall);
      }
    }
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
                                         std::make_shared<month_tokens>(),
                                         std::make_shared<traffic_gate>(traffic_limits{}), wall);
  all.add(key, gate);
  CAF_CHECK(all.find(key) == gate);
  gate.reset();
  CAF_CHECK(all.find(key) == nullptr);
}

CAF_TEST(a key has one count of its traffic while somebody holds it) {
  tenant_gates all;
  const api_key_id key{uuid::random()};
  auto first = all.traffic(key, {.requests_per_minute = 60, .burst = 1});
  const auto second = all.traffic(key, {.requests_per_minute = 60, .burst = 1});
  CAF_CHECK(first == second);
  CAF_CHECK(all.traffic(api_key_id{uuid::random()}, {}) != first);
}

CAF_TEST(operations are asked for one by one and are exact) {
  auto x = gate({.operations_per_day = 3}, {1, 0});
  counter = 1;
  CAF_CHECK_EQUAL(operations(x, 5), 2);
  CAF_CHECK_EQUAL(asked, 3);  // the last two refusals: one is PostgreSQL's, one is remembered
  CAF_CHECK_EQUAL(x.look(wall).used.operations_today, 6u);
  CAF_CHECK_EQUAL(counter, 4u);
}

CAF_TEST(a refused operation is told to wait until midnight and a new day starts again) {
  auto x = gate({.operations_per_day = 1});
  CAF_CHECK_EQUAL(operations(x, 2), 1);
  const auto no = x.operation(wall, [] { return [](verdict) {}; });
  CAF_REQUIRE(no.at_once.has_value());
  CAF_CHECK(!no.at_once->allowed);
  CAF_CHECK_EQUAL(no.at_once->retry_after_seconds, 12u * 3600u);
  wall += 12h;
  counter = 0;  // PostgreSQL has another row for another day
  CAF_CHECK_EQUAL(operations(x, 2), 1);
  CAF_CHECK_EQUAL(x.look(wall).used.operations_today, 2u);
}

CAF_TEST(a refusal is remembered until the limit changes) {
  auto x = gate({.operations_per_day = 2});
  CAF_CHECK_EQUAL(operations(x, 4), 2);
  x.set_limits({.operations_per_day = 2});
  asked = 0;
  CAF_CHECK_EQUAL(operations(x, 4), 0);
  CAF_CHECK_EQUAL(asked, 0);
  counter = 2;
  x.set_limits({.operations_per_day = 5});
  CAF_CHECK_EQUAL(operations(x, 4), 3);
}

CAF_TEST(a large limit is taken in blocks and a key without one asks nobody) {
  auto x = gate({.operations_per_day = 50'000});
  CAF_CHECK_EQUAL(operations(x, 10), 10);
  CAF_CHECK_EQUAL(asked, 2);
  CAF_CHECK_EQUAL(x.look(wall).used.operations_today, 10u);
  auto free = gate({});
  CAF_CHECK_EQUAL(operations(free, 10), 10);
  CAF_CHECK_EQUAL(asked, 2);
  CAF_CHECK_EQUAL(free.look(wall).used.operations_today, 10u);
}

CAF_TEST(the rest of a block is used before the day is over) {
  auto x = gate({.operations_per_day = 50'000});
  counter = 49'997;
  CAF_CHECK_EQUAL(operations(x, 10), 3);
}

CAF_TEST(all operations that wait are one question) {
  auto x = gate({.operations_per_day = 3});
  int yes = 0;
  int no = 0;
  int asks = 0;
  for (int i = 0; i < 5; ++i)
    asks += x.operation(wall, [&] { return [&](verdict v) { ++(v.allowed ? yes : no); }; }).ask;
  CAF_CHECK_EQUAL(asks, 1);
  const auto wanted = x.question();
  CAF_CHECK_EQUAL(wanted.count, 5u);
  CAF_CHECK_EQUAL(wanted.limit, 3u);
  CAF_CHECK(!x.granted(wanted, 3, 3, wall));
  CAF_CHECK_EQUAL(yes, 3);
  CAF_CHECK_EQUAL(no, 2);
  CAF_CHECK_EQUAL(x.look(wall).used.operations_today, 5u);
}

CAF_TEST(operations that nobody can count are refused as unavailable and asked for again) {
  auto x = gate({.operations_per_day = 3});
  std::optional<verdict> said;
  CAF_CHECK(x.operation(wall, [&] { return [&](verdict v) { said = v; }; }).ask);
  x.unreachable();
  CAF_REQUIRE(said.has_value());
  CAF_CHECK(said->unavailable);
  CAF_CHECK_EQUAL(operations(x, 1), 1);
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
