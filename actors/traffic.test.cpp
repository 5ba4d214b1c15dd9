#define CAF_SUITE traffic

#include "actors/traffic.hpp"

#include "actors/ask.test.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;

namespace {

struct fixture : test_coordinator_fixture<> {
  const entity_id id = traffic_entity(tenant_id{uuid::random()});
  const api_key_id key{uuid::random()};
  runtime::tenant_gates gates;
  int retired = 0;
  std::vector<caf::actor> all;
  caf::actor one;

  fixture() {
    auto services = std::make_shared<traffic_services>();
    services->gates = &gates;
    services->self = [] { return node_id{1}; };
    services->retire = [this](const entity_id&, const caf::actor_addr&) {
      ++retired;
      return true;
    };
    one = sys.spawn<traffic>(id, services);
    consume_messages();
  }

  ~fixture() override {
    all.push_back(one);
    for (auto& x : all)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    consume_messages();
  }

  traffic_block ask(uint64_t from, uint32_t need, uint32_t burst) {
    take_traffic x;
    x.key = key;
    x.requests_per_minute = 1;
    x.burst = burst;
    x.from = node_id{from};
    x.need = need;
    auto out = std::make_shared<std::optional<answer<traffic_block>>>();
    all.push_back(sys.spawn(asker<traffic_block, take_traffic>, one, x, out));
    consume_messages();
    CAF_REQUIRE(out->has_value());
    return (*out)->value;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(traffic_home_tests, fixture)

CAF_TEST(gateways lease from the bucket that the requests of this node take from) {
  const auto here = gates.traffic(key, {.requests_per_minute = 1, .burst = 10});
  for (int i = 0; i < 4; ++i)
    CAF_CHECK(
        here->take({std::chrono::steady_clock::now(), std::chrono::sys_seconds{}}).allowed);
  CAF_CHECK_EQUAL(ask(2, 4, 10).granted, 4u);
  const auto rest = ask(3, 4, 10);
  CAF_CHECK_EQUAL(rest.granted, 2u);
  CAF_CHECK(rest.wait_ms > 0);
  CAF_CHECK_EQUAL(here->left(), 0u);
}

CAF_TEST(a bucket is kept though no request of this node holds it) {
  CAF_CHECK_EQUAL(ask(2, 100, 100).granted, 100u);
  advance_time(10min);
  consume_messages();
  CAF_CHECK_EQUAL(retired, 0);
  CAF_CHECK_EQUAL(ask(2, 100, 100).granted, 0u);
}

CAF_TEST(it goes when a fresh one would say the same) {
  CAF_CHECK_EQUAL(ask(2, 0, 100).granted, 0u);
  advance_time(2min);
  consume_messages();
  CAF_CHECK_EQUAL(retired, 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
