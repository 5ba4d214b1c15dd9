#define CAF_SUITE scheduler

#include "actors/contexts/time/scheduler.hpp"

#include <map>

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::actors;
using namespace std::chrono_literals;

namespace {

/// A database that answers what the test says, contexts that answer when it says, and a clock that
/// is the io_context's own.
struct fixture {
  fixture() {
    scheduler::parts with;
    with.look = [this](auto done) {
      ++looks;
      if (looks >= last_look)
        context.stop();
      done(found);
    };
    with.here = [this](tenant_id x) { return away != x; };
    with.run = [this](tenant_id x, auto done) { asked[x].push_back(std::move(done)); };
    scheduler_probe probe;
    probe.ran = [this] { ++ran; };
    probe.failed = [this] { ++failed; };
    tested = std::make_unique<scheduler>(context, std::move(with), std::move(probe));
    tested->start();
  }

  ~fixture() {
    tested->stop();
    context.restart();
    context.poll();
  }

  /// Until it has looked so many times more.
  void look(int n = 1) {
    last_look = looks + n;
    context.restart();
    context.run();
    context.restart();
    context.poll();
  }

  void answer(tenant_id x, std::optional<bool> what) {
    auto done = std::move(asked[x].front());
    asked[x].erase(asked[x].begin());
    done(what);
  }

  boost::asio::io_context context{1};
  std::unique_ptr<scheduler> tested;
  std::optional<sql::due_tenants> found = sql::due_tenants{};
  tenant_id away;
  std::map<tenant_id, std::vector<std::function<void(std::optional<bool>)>>> asked;
  int looks = 0;
  int last_look = 0;
  int ran = 0;
  int failed = 0;
  tenant_id a{uuid::random()};
  tenant_id b{uuid::random()};
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(scheduler_tests, fixture)

CAF_TEST(tenants that live here are asked for what is due and the others are not) {
  away = b;
  found->tenants = {a, b};
  look();
  CAF_CHECK_EQUAL(asked[a].size(), 1u);
  CAF_CHECK_EQUAL(asked[b].size(), 0u);
}

CAF_TEST(who ran one is asked again at once and who had none is not) {
  found->tenants = {a};
  look();
  answer(a, true);
  CAF_REQUIRE_EQUAL(asked[a].size(), 1u);
  answer(a, false);
  CAF_CHECK_EQUAL(asked[a].size(), 0u);
  CAF_CHECK_EQUAL(ran, 1);
}

CAF_TEST(a context that cannot be asked is asked again with the next look) {
  found->tenants = {a};
  look();
  answer(a, std::nullopt);
  CAF_CHECK_EQUAL(asked[a].size(), 0u);
  CAF_CHECK_EQUAL(failed, 1);
  look();
  CAF_CHECK_EQUAL(asked[a].size(), 1u);
}

CAF_TEST(slow actions are run beside each other up to a bound) {
  found->tenants = {a};
  found->next_in = 1ms;
  look(10);
  CAF_CHECK_EQUAL(asked[a].size(), scheduler::at_once_per_tenant);
}

CAF_TEST(what becomes due soon is looked for at its time) {
  found->next_in = 5ms;
  look();
  const auto before = std::chrono::steady_clock::now();
  look();
  const auto took = std::chrono::steady_clock::now() - before;
  CAF_CHECK(took >= 4ms);
  CAF_CHECK(took < scheduler::look_every);
}

CAF_TEST(a database that is away is asked again) {
  found.reset();
  look(2);
  CAF_CHECK_EQUAL(looks, 2);
}

CAF_TEST(what is stopped asks for nothing more) {
  found->tenants = {a};
  look();
  tested->stop();
  context.restart();
  context.run();  // ends, since nothing is waited for
  answer(a, true);
  CAF_CHECK_EQUAL(asked[a].size(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
