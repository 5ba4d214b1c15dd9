// needs: postgres
#define CAF_SUITE single_worker

#include "runtime/single_worker.hpp"

#include <condition_variable>

#include "runtime/agentese/event_log_fixture.test.hpp"

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::agentese::test;

namespace {

const database& shared_database() {
  static const database instance{"workers"};
  return instance;
}

/// Counts rounds, and lets a test wait for them.
struct rounds {
  std::mutex mutex;
  std::condition_variable changed;
  int count = 0;
  int running = 0;
  int most_running = 0;

  void begin() {
    std::lock_guard guard{mutex};
    ++count;
    most_running = std::max(most_running, ++running);
    changed.notify_all();
  }
  void end() {
    std::lock_guard guard{mutex};
    --running;
  }
  bool reach(int wanted) {
    std::unique_lock guard{mutex};
    return changed.wait_for(guard, patience, [&] { return count >= wanted; });
  }
};

struct node {
  io_thread thread{0, "worker"};
  sql::pool control{thread.context(), {.url = shared_database().as("kg_control")}};
  rounds done;
  single_worker subject;

  node(const std::string& name, std::chrono::milliseconds pause)
      : subject{thread, control, name, [this, pause](auto next) {
                  done.begin();
                  done.end();
                  next(pause);
                }} {
    thread.start();
    subject.start();
  }
  ~node() {
    subject.stop();
    thread.stop();
    thread.join();
    control.stop();
  }
};

}  // namespace

CAF_TEST(rounds follow one another and can be called for) {
  node one{"alone", 1ms};
  CAF_CHECK(one.done.reach(5));
  CAF_CHECK_EQUAL(one.done.most_running, 1);
  node lazy{"lazy", std::chrono::hours{1}};
  CAF_REQUIRE(lazy.done.reach(1));
  lazy.subject.wake();
  CAF_CHECK(lazy.done.reach(2));
}

CAF_TEST(one node works at a time and another goes on when it stops) {
  node first{"shared", 1ms};
  CAF_REQUIRE(first.done.reach(1));
  node second{"shared", 1ms};
  CAF_CHECK(first.done.reach(first.done.count + 50));
  CAF_CHECK_EQUAL(second.done.count, 0);
  CAF_CHECK(first.subject.active() && !second.subject.active());
  first.subject.stop();
  CAF_CHECK(second.done.reach(1));
  CAF_CHECK(!first.subject.active());
}

CAF_TEST(a stop that waits has given the lease up) {
  node one{"given", 1ms};
  CAF_REQUIRE(one.done.reach(1));
  one.subject.stop(patience);
  CAF_CHECK_EQUAL(
      shared_database().admin("SELECT count(*) FROM kg.worker_leases WHERE worker = 'given'"), "0");
  one.subject.stop(patience);  // nothing is left to wait for
}

CAF_TEST(a lease that nobody renews goes to who asks next) {
  const auto dead = uuid::random().text();
  CAF_CHECK_EQUAL(shared_database().admin("SELECT kg.hold_worker('left', '" + dead + "', 0)"),
                  "t");
  node heir{"left", 1ms};
  CAF_CHECK(heir.done.reach(1));
  CAF_CHECK_EQUAL(shared_database().admin("SELECT owner <> '" + dead +
                                          "' FROM kg.worker_leases WHERE worker = 'left'"),
                  "t");
}
