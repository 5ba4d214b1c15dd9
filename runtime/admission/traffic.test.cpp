#define CAF_SUITE traffic

#include "runtime/admission/traffic.hpp"

#include <caf/test/dsl.hpp>
#include <deque>
#include <memory>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;

namespace {

using std::chrono::sys_days;

constexpr node_id home_node{1};

/// A home and the gateways that lease from it, on clocks that the test moves.
struct fixture {
  traffic_gate::moment at{traffic_gate::clock::time_point{1h},
                          std::chrono::sys_seconds{sys_days{2024y / 1 / 31}} + 12h};

  struct gateway {
    node_id node;
    std::shared_ptr<traffic_gate> gate;
    int asked = 0;
  };

  void pass(std::chrono::milliseconds x) {
    at.now += x;
    at.wall = std::chrono::floor<std::chrono::seconds>(at.wall + x);
  }

  static gateway gateway_of(uint64_t node, traffic_limits limits) {
    return {node_id{node}, std::make_shared<traffic_gate>(limits)};
  }

  /// One request at a gateway, whose questions are answered at once.
  verdict request(gateway& who, traffic_gate& home) {
    std::optional<verdict> out;
    const auto x = who.gate->use(at, [&] { return [&](verdict v) { out = v; }; });
    if (x.at_once)
      return *x.at_once;
    bool again = x.ask;
    while (again) {
      ++who.asked;
      auto question = who.gate->question(at);
      question.from = who.node;
      again = who.gate->answered(home.lease(question, false, at), at);
    }
    CAF_REQUIRE(out.has_value());
    return *out;
  }

  int allowed(gateway& who, traffic_gate& home, int times) {
    int count = 0;
    for (int i = 0; i < times; ++i)
      count += request(who, home).allowed ? 1 : 0;
    return count;
  }

  int allowed(traffic_gate& home, int times) {
    int count = 0;
    for (int i = 0; i < times; ++i)
      count += home.take(at).allowed ? 1 : 0;
    return count;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(traffic_tests, fixture)

CAF_TEST(a burst passes and then the pace of the minute holds) {
  traffic_gate x{{.requests_per_minute = 60, .burst = 5}};
  CAF_CHECK_EQUAL(allowed(x, 10), 5);
  const auto no = x.take(at);
  CAF_CHECK(!no.allowed);
  CAF_CHECK(!no.hourly);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 1u);
  pass(2s);
  CAF_CHECK_EQUAL(allowed(x, 10), 2);
  pass(1h);
  CAF_CHECK_EQUAL(allowed(x, 10), 5);
}

CAF_TEST(a refused request is told how long a slow bucket takes) {
  traffic_gate x{{.requests_per_minute = 6, .burst = 1}};
  CAF_CHECK_EQUAL(allowed(x, 1), 1);
  CAF_CHECK_EQUAL(x.take(at).retry_after_seconds, 10u);
  pass(9s);
  CAF_CHECK_EQUAL(x.take(at).retry_after_seconds, 1u);
  pass(1s);
  CAF_CHECK(x.take(at).allowed);
}

CAF_TEST(a key without a burst has one of one request) {
  traffic_gate x{{.requests_per_minute = 60}};
  CAF_CHECK_EQUAL(allowed(x, 3), 1);
}

CAF_TEST(the limit of the hour holds until the hour is over) {
  traffic_gate x{{.requests_per_hour = 3}};
  CAF_CHECK_EQUAL(allowed(x, 5), 3);
  pass(59min);
  const auto no = x.take(at);
  CAF_CHECK(!no.allowed);
  CAF_CHECK(no.hourly);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 60u);
  CAF_CHECK(!x.forgettable(at));
  pass(1min);
  CAF_CHECK(x.forgettable(at));
  CAF_CHECK_EQUAL(allowed(x, 5), 3);
}

CAF_TEST(a key without limits owes nothing when it gets one) {
  traffic_gate x{{}};
  CAF_CHECK_EQUAL(allowed(x, 10'000), 10'000);
  x.set_limits({.requests_per_minute = 60, .burst = 5});
  CAF_CHECK_EQUAL(allowed(x, 10), 5);
  CAF_CHECK_EQUAL(x.left(), 0u);
}

CAF_TEST(gateways and the home share one burst to the last request) {
  const traffic_limits limits{.requests_per_minute = 60, .burst = 30};
  traffic_gate home{limits};
  auto first = gateway_of(2, limits);
  auto second = gateway_of(3, limits);
  int passed = 0;
  for (int i = 0; i < 20; ++i)
    passed += allowed(first, home, 1) + allowed(second, home, 1) + allowed(home, 1);
  CAF_CHECK_EQUAL(passed, 30);
  const auto no = request(first, home);
  CAF_CHECK(!no.allowed);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 1u);
  pass(1s);
  CAF_CHECK_EQUAL(allowed(first, home, 2) + allowed(second, home, 2), 1);
}

CAF_TEST(a block serves a quarter of a second without a question) {
  const traffic_limits limits{.requests_per_minute = 6000, .burst = 1200};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  CAF_CHECK_EQUAL(traffic_gate::block_of(limits), 25u);
  CAF_CHECK_EQUAL(allowed(far, home, 26), 26);
  CAF_CHECK_EQUAL(far.asked, 1);
  CAF_CHECK_EQUAL(allowed(far, home, 1), 1);
  CAF_CHECK_EQUAL(far.asked, 2);
}

CAF_TEST(what is not used within a second is forgotten and never more than the limit passes) {
  const traffic_limits limits{.requests_per_minute = 6000, .burst = 100};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  CAF_CHECK_EQUAL(allowed(far, home, 1), 1);
  pass(1001ms);
  CAF_CHECK_EQUAL(allowed(far, home, 1), 1);
  CAF_CHECK_EQUAL(far.asked, 2);
  // Three gateways and the home, as fast as they can for a minute.
  auto second = gateway_of(3, limits);
  auto third = gateway_of(4, limits);
  int passed = 0;
  for (int ms = 0; ms < 60'000; ms += 5) {
    passed += allowed(far, home, 1) + allowed(second, home, 1) + allowed(third, home, 1);
    passed += allowed(home, 1);
    pass(5ms);
  }
  CAF_CHECK(passed <= 6100 + 3 * 26);
  CAF_CHECK(passed >= 5900);
}

CAF_TEST(a gateway that was refused asks again only when there can be something) {
  const traffic_limits limits{.requests_per_minute = 60, .burst = 1};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  CAF_CHECK_EQUAL(allowed(far, home, 1000), 1);
  CAF_CHECK_EQUAL(far.asked, 2);
  pass(999ms);
  CAF_CHECK_EQUAL(allowed(far, home, 1000), 0);
  CAF_CHECK_EQUAL(far.asked, 2);
  pass(2ms);
  CAF_CHECK_EQUAL(allowed(far, home, 1000), 1);
}

CAF_TEST(the hour is one for all nodes) {
  const traffic_limits limits{.requests_per_hour = 100};
  traffic_gate home{limits};
  auto first = gateway_of(2, limits);
  auto second = gateway_of(3, limits);
  int passed = 0;
  for (int i = 0; i < 100; ++i)
    passed += allowed(first, home, 1) + allowed(second, home, 1) + allowed(home, 1);
  CAF_CHECK_EQUAL(passed, 100);
  const auto no = request(second, home);
  CAF_CHECK(no.hourly);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 3600u);
  pass(1h);
  CAF_CHECK_EQUAL(allowed(second, home, 200), 100);
}

CAF_TEST(a new home learns the hour from those who ask) {
  const traffic_limits limits{.requests_per_hour = 100};
  traffic_gate old_home{limits};
  auto first = gateway_of(2, limits);
  CAF_CHECK_EQUAL(allowed(first, old_home, 60), 60);
  CAF_CHECK_EQUAL(allowed(old_home, 10), 10);
  traffic_gate home{limits};
  CAF_CHECK_EQUAL(allowed(first, home, 1), 1);
  // The old home is a gateway now and tells of what it let in.
  gateway was_home{home_node, std::make_shared<traffic_gate>(limits)};
  CAF_CHECK_EQUAL(allowed(*was_home.gate, 10), 10);
  CAF_CHECK_EQUAL(allowed(was_home, home, 100) + allowed(first, home, 100), 29);
}

CAF_TEST(a node that is on its way to be the home does not count itself twice) {
  const traffic_limits limits{.requests_per_hour = 10};
  traffic_gate x{limits};
  CAF_CHECK_EQUAL(allowed(x, 4), 4);
  int passed = 0;
  for (int i = 0; i < 10; ++i) {
    const auto got = x.use(at, [&] { return [&](verdict v) { passed += v.allowed ? 1 : 0; }; });
    if (!got.ask)
      continue;
    auto question = x.question(at);
    question.from = home_node;
    while (x.answered(x.lease(question, true, at), at))
      question = x.question(at);
  }
  CAF_CHECK_EQUAL(passed, 6);
}

CAF_TEST(all that wait are decided by one answer) {
  const traffic_limits limits{.requests_per_minute = 60, .burst = 3};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  int yes = 0;
  int no = 0;
  int asks = 0;
  for (int i = 0; i < 5; ++i) {
    const auto x = far.gate->use(at, [&] { return [&](verdict v) { ++(v.allowed ? yes : no); }; });
    CAF_CHECK(!x.at_once.has_value());
    asks += x.ask ? 1 : 0;
  }
  CAF_CHECK_EQUAL(asks, 1);
  auto question = far.gate->question(at);
  CAF_CHECK_EQUAL(question.need, 5u);
  CAF_CHECK(!far.gate->answered(home.lease(question, false, at), at));
  CAF_CHECK_EQUAL(yes, 3);
  CAF_CHECK_EQUAL(no, 2);
}

CAF_TEST(who came after the question is asked for with the next) {
  const traffic_limits limits{.requests_per_minute = 60, .burst = 10};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  int yes = 0;
  const auto make = [&] { return [&](verdict v) { yes += v.allowed ? 1 : 0; }; };
  CAF_CHECK(far.gate->use(at, make).ask);
  auto question = far.gate->question(at);
  CAF_CHECK(!far.gate->use(at, make).ask);
  CAF_CHECK(far.gate->answered(home.lease(question, false, at), at));
  CAF_CHECK_EQUAL(yes, 1);
  question = far.gate->question(at);
  CAF_CHECK(!far.gate->answered(home.lease(question, false, at), at));
  CAF_CHECK_EQUAL(yes, 2);
}

CAF_TEST(so many wait and no more) {
  auto far = gateway_of(2, {.requests_per_minute = 60, .burst = 3});
  const auto make = [] { return [](verdict) {}; };
  for (size_t i = 0; i < traffic_gate::most_waiting; ++i)
    CAF_CHECK(!far.gate->use(at, make).at_once.has_value());
  const auto x = far.gate->use(at, make);
  CAF_REQUIRE(x.at_once.has_value());
  CAF_CHECK(!x.at_once->allowed);
}

CAF_TEST(without its home a gateway lets in its part of the limit and asks again later) {
  const traffic_limits limits{.requests_per_minute = 600, .burst = 100};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  int yes = 0;
  CAF_CHECK(far.gate->use(at, [&] { return [&](verdict v) { yes += v.allowed ? 1 : 0; }; }).ask);
  static_cast<void>(far.gate->question(at));
  far.gate->unreachable(4, at);
  CAF_CHECK_EQUAL(yes, 1);
  CAF_CHECK_EQUAL(allowed(far, home, 100), 24);  // and the one that waited: a quarter of the burst
  CAF_CHECK_EQUAL(far.asked, 0);
  pass(400ms);
  CAF_CHECK_EQUAL(allowed(far, home, 100), 1);  // a quarter of ten a second
  pass(600ms);
  CAF_CHECK_EQUAL(allowed(far, home, 1), 1);
  CAF_CHECK_EQUAL(far.asked, 1);
}

CAF_TEST(a full hour stays full while its home is away) {
  const traffic_limits limits{.requests_per_hour = 10};
  traffic_gate home{limits};
  auto far = gateway_of(2, limits);
  CAF_CHECK_EQUAL(allowed(home, 6), 6);
  CAF_CHECK_EQUAL(allowed(far, home, 2), 2);
  CAF_CHECK(far.gate->use(at, [] { return [](verdict) {}; }).ask);
  static_cast<void>(far.gate->question(at));
  far.gate->unreachable(2, at);
  CAF_CHECK_EQUAL(allowed(far, home, 10), 1);  // six there, two and the one that waited here
}

CAF_TEST_FIXTURE_SCOPE_END()
