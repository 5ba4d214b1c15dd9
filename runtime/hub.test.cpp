#define CAF_SUITE hub

#include "runtime/hub.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::runtime;

namespace {

struct reader : log_reader {
  int told = 0;
  std::function<void()> then = [] {};
  void advanced() override {
    ++told;
    then();
  }
};

struct fixture {
  io_threads threads{2};  // never started: the test runs what is posted
  hubs all{threads.all()};
  hub& here = all[0];
  session_logs logs;
  log_ptr log = open();
  reader a, b, c;

  log_ptr open() {
    return logs.open(session_entity(tenant_id{uuid::random()}, session_id{uuid::random()}));
  }

  /// Runs what is posted to a thread; how many posts it were.
  size_t run(size_t thread = 0) { return threads[thread].context().poll(); }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(hub_tests, fixture)

CAF_TEST(many readers of a log are told by one post) {
  for (auto* x : {&a, &b, &c})
    here.subscribe(log, *x);
  all.notify(log);
  CAF_CHECK_EQUAL(a.told, 0);  // not on the thread of the caller
  CAF_CHECK_EQUAL(run(), 1u);
  CAF_CHECK_EQUAL(a.told + b.told + c.told, 3);
}

CAF_TEST(what advances several times before the thread looks is told once) {
  const auto other = open();
  here.subscribe(log, a);
  here.subscribe(other, b);
  for (int i = 0; i < 10; ++i) {
    all.notify(log);
    all.notify(std::vector{log, other});
  }
  CAF_CHECK_EQUAL(run(), 1u);
  CAF_CHECK_EQUAL(a.told, 1);
  CAF_CHECK_EQUAL(b.told, 1);
  all.notify(log);
  CAF_CHECK_EQUAL(run(), 1u);
  CAF_CHECK_EQUAL(a.told, 2);
}

CAF_TEST(only the threads that have readers are woken) {
  all[1].subscribe(log, a);
  all.notify(log);
  all.notify(std::vector{log});
  CAF_CHECK_EQUAL(run(0), 0u);
  CAF_CHECK_EQUAL(run(1), 1u);
  all[1].unsubscribe(log, a);
  all.notify(log);
  all.notify(std::vector{log});
  CAF_CHECK_EQUAL(run(1), 0u);
  CAF_CHECK_EQUAL(a.told, 1);
}

CAF_TEST(a thread keeps its bit while one of its readers is left) {
  here.subscribe(log, a);
  here.subscribe(log, b);
  here.unsubscribe(log, a);
  all.notify(log);
  run();
  CAF_CHECK_EQUAL(a.told, 0);
  CAF_CHECK_EQUAL(b.told, 1);
}

CAF_TEST(a reader that leaves during a round is not called any more) {
  here.subscribe(log, a);
  here.subscribe(log, b);
  const auto leave = [this](reader& x, reader& other) {
    x.then = [this, &other] { here.unsubscribe(log, other); };
  };
  leave(a, b);
  leave(b, a);
  all.notify(log);
  run();
  CAF_CHECK_EQUAL(a.told + b.told, 1);
}

CAF_TEST(a reader may leave in its own call and another may come) {
  here.subscribe(log, a);
  a.then = [this] {
    here.unsubscribe(log, a);
    here.subscribe(log, b);
  };
  all.notify(log);
  run();
  CAF_CHECK_EQUAL(a.told, 1);
  CAF_CHECK_EQUAL(b.told, 0);  // it looks at the log itself when it comes
  all.notify(log);
  run();
  CAF_CHECK_EQUAL(a.told, 1);
  CAF_CHECK_EQUAL(b.told, 1);
}

CAF_TEST(what advances during a round is told in the next) {
  here.subscribe(log, a);
  a.then = [this] {
    if (a.told == 1)
      all.notify(log);
  };
  all.notify(log);
  run();
  CAF_CHECK_EQUAL(a.told, 2);
}

CAF_TEST(a log without readers left by the time of the round is passed over) {
  here.subscribe(log, a);
  all.notify(log);
  here.unsubscribe(log, a);
  here.unsubscribe(log, a);  // twice does no harm
  run();
  CAF_CHECK_EQUAL(a.told, 0);
}

CAF_TEST(all readers of all threads can be woken) {
  const auto other = open();
  here.subscribe(log, a);
  here.subscribe(other, b);
  all[1].subscribe(log, c);
  a.then = [this] { here.unsubscribe(log, a); };
  all.wake_all();
  run(0);
  run(1);
  CAF_CHECK_EQUAL(a.told, 1);
  CAF_CHECK_EQUAL(b.told, 1);
  CAF_CHECK_EQUAL(c.told, 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
