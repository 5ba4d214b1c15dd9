// needs: postgres
#define CAF_SUITE journal

#include "runtime/agentese/journal.hpp"

#include <atomic>
#include <thread>

#include "runtime/agentese/event_log_fixture.test.hpp"
#include "runtime/agentese/limits.hpp"
#include "runtime/io_thread.hpp"

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::agentese;
using namespace kgents::runtime::agentese::test;

namespace {

const database& shared_database() {
  static const database instance{"journal"};
  return instance;
}

/// In front of the pool: once a transaction has met a move, `moves` is apart.
struct planes : sql::transactor {
  explicit planes(sql::transactor& x) : behind{x} {}
  void submit(sql::transaction work, sql::callback done) override {
    behind.submit(std::move(work), [this, done = std::move(done)](sql::outcome out) {
      const auto* why = std::get_if<sql::failure>(&out);
      if (why != nullptr && why->what == sql::failure::kind::moving)
        met = true;
      done(std::move(out));
    });
  }
  [[nodiscard]] bool apart(const tenant_id& x) const override { return met && x == moves; }

  sql::transactor& behind;
  tenant_id moves;
  std::atomic<bool> met{false};
};

struct fixture {
  io_thread thread{0, "sql"};
  sql::pool control;
  planes routed{control};
  std::atomic<size_t> committed{0}, commits{0}, full{0}, rejected{0}, retries{0},
      refused{0};
  std::atomic<int64_t> newest{0};
  std::optional<journal> subject;
  tenant_id tenant = shared_database().new_tenant();

  explicit fixture(const std::string& url = shared_database().as("kg_control"),
                   retention keep = {})
      : control{thread.context(), {.url = url, .connections = 2, .max_in_flight = 1}} {
    journal_probe probe;
    probe.committed = [this](size_t marks, double) {
      committed += marks;
      ++commits;
    };
    probe.retried = [this] { ++retries; };
    probe.refused = [this] { ++refused; };
    probe.dropped = [this](size_t marks, const char* why) {
      (why == std::string_view{"full"} ? full : rejected) += marks;
    };
    subject.emplace(thread.context(), routed, std::move(probe), keep);
    subject->on_grown([this](const std::vector<std::pair<tenant_id, int64_t>>& logs) {
      for (const auto& [grown, seq] : logs)
        if (grown == tenant)
          newest = seq;
    });
  }

  ~fixture() {
    subject.reset();
    control.stop();
    thread.stop();
    thread.join();
  }

  std::string count(tenant_id whose) {
    return shared_database().admin("SELECT count(*) || ' ' || coalesce(max(seq), 0) FROM "
                                   "kg.agentese_events WHERE tenant_id = '" +
                                   whose.text() + "'");
  }
};

}  // namespace

CAF_TEST(marks that arrive together are committed together and in their order) {
  fixture x;
  const auto other = shared_database().new_tenant();
  for (int i = 0; i < 1000; ++i) {
    x.subject->note(some_mark(x.tenant, "void.entropy", std::to_string(i)));
    x.subject->note(some_mark(other));
  }
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.committed, 2000u);
  CAF_CHECK_EQUAL(x.commits, 4u);  // the most that one takes is 512
  CAF_CHECK_EQUAL(x.count(x.tenant), "1000 1000");
  CAF_CHECK_EQUAL(x.count(other), "1000 1000");
  CAF_CHECK_EQUAL(x.newest, 1000);
  CAF_CHECK_EQUAL(shared_database().admin("SELECT count(*) FROM kg.agentese_events WHERE "
                                          "tenant_id = '" +
                                          x.tenant.text() + "' AND data::text::int = seq - 1"),
                  "1000");
}

CAF_TEST(marks of a tenant that moves wait in their order and the others are committed) {
  fixture x;
  x.routed.moves = x.tenant;
  const auto& db = shared_database();
  const auto moves = "INSERT INTO kg.tenant_moves (tenant_id, state) VALUES ('" +
                     x.tenant.text() + "', 'copying')";
  CAF_CHECK_EQUAL(db.admin(moves), "");
  std::vector<tenant_id> others;
  for (int i = 0; i < 5; ++i)
    others.push_back(db.new_tenant());
  for (int i = 0; i < 1000; ++i) {
    x.subject->note(some_mark(x.tenant, "void.entropy", std::to_string(i)));
    x.subject->note(some_mark(others[static_cast<size_t>(i) % others.size()]));
  }
  x.thread.start();
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (x.committed < 1000 && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  CAF_CHECK_EQUAL(x.committed, 1000u);
  CAF_CHECK_EQUAL(x.count(x.tenant), "0 0");
  for (const auto& other : others)
    CAF_CHECK_EQUAL(x.count(other), "200 200");
  for (int i = 1000; i < 1100; ++i)
    x.subject->note(some_mark(x.tenant, "void.entropy", std::to_string(i)));
  CAF_CHECK_EQUAL(db.admin("DELETE FROM kg.tenant_moves"), "");
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.count(x.tenant), "1100 1100");
  CAF_CHECK_EQUAL(db.admin("SELECT count(*) FROM kg.agentese_events WHERE tenant_id = '" +
                           x.tenant.text() + "' AND data::text::int = seq - 1"),
                  "1100");
}

CAF_TEST(what the database refuses for its content is left out alone) {
  fixture x;
  for (int i = 0; i < 100; ++i)
    x.subject->note(some_mark(x.tenant, "void.entropy", i == 37 ? "{not json" : "{}"));
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.count(x.tenant), "99 99");
  CAF_CHECK_EQUAL(x.rejected, 1u);
}

CAF_TEST(while the store is away marks wait up to a bound and nothing else happens) {
  fixture x{"host='/nonexistent' user=nobody"};
  x.thread.start();
  for (size_t i = 0; i < limits::journal_marks + 10; ++i)
    x.subject->note(some_mark(x.tenant));
  CAF_CHECK_EQUAL(x.full, 10u);
  CAF_CHECK(!x.subject->flush(10ms));
}

CAF_TEST(what is billed is refused in time and never lost) {
  fixture x{"host='/nonexistent' user=nobody"};
  const auto billed = [&] {
    auto out = some_mark(x.tenant);
    out.usage = usage_id{uuid::time_ordered()};
    return out;
  };
  size_t begun = 0;
  while (x.subject->admits()) {
    x.subject->note(billed());
    ++begun;
  }
  CAF_CHECK_EQUAL(begun, limits::journal_admitted(limits::journal_marks));
  CAF_CHECK_EQUAL(x.refused, 1u);
  // What had begun before that is kept, however many there are.
  for (size_t i = 0; i < limits::journal_marks; ++i)
    x.subject->note(billed());
  CAF_CHECK_EQUAL(x.full, 0u);
  x.subject->note(some_mark(x.tenant));
  CAF_CHECK_EQUAL(x.full, 1u);
}

CAF_TEST(what is billed and too large is kept without its data) {
  fixture x;
  const auto large = '"' + std::string(60'000, 'x') + '"';
  for (int i = 0; i < 300; ++i) {
    auto mark = some_mark(x.tenant, "void.entropy", large);
    mark.usage = usage_id{uuid::time_ordered()};
    mark.key = api_key_id{uuid::random()};
    x.subject->note(std::move(mark));
  }
  CAF_CHECK(!x.subject->admits());
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK(x.subject->admits());
  CAF_CHECK_EQUAL(x.full, 0u);
  CAF_CHECK_EQUAL(x.count(x.tenant), "300 300");
  CAF_CHECK_EQUAL(shared_database().admin("SELECT count(*) FROM kg.usage_events WHERE tenant_id = '" +
                                          x.tenant.text() + "'"),
                  "300");
}

CAF_TEST(who waits for a mark hears of its commit once and of a store that is away at once) {
  fixture x;
  std::atomic<int> heard{0};
  x.subject->note(some_mark(x.tenant), [&] {
    CAF_CHECK_EQUAL(x.count(x.tenant), "1 1");
    ++heard;
  });
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(heard, 1);

  fixture away{"host='/nonexistent' user=nobody"};
  away.thread.start();
  std::atomic<int> told{0};
  away.subject->note(some_mark(away.tenant), [&] { ++told; });
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (told == 0 && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  CAF_CHECK_EQUAL(told, 1);
}

CAF_TEST(large marks are bounded by their bytes) {
  fixture x;
  const auto large = '"' + std::string(60'000, 'x') + '"';
  for (int i = 0; i < 300; ++i)
    x.subject->note(some_mark(x.tenant, "void.entropy", large));
  CAF_CHECK_GREATER(x.full, 20u);
  CAF_CHECK_LESS(x.full, 40u);
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.committed + x.full, 300u);
}

CAF_TEST(a commit that waits for a lock is tried again until it succeeds) {
  fixture x;
  x.subject->note(some_mark(x.tenant));
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  {
    sql::blocking_connection holder{shared_database().as("postgres")};
    const auto lock = "BEGIN; SELECT FROM kg.agentese_clock WHERE tenant_id = '" +
                      x.tenant.text() + "' FOR UPDATE";
    CAF_REQUIRE_EQUAL(holder.run(lock.c_str()).value_or(""), "");
    x.subject->note(some_mark(x.tenant));
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (x.retries == 0 && std::chrono::steady_clock::now() < give_up)
      std::this_thread::yield();
    CAF_REQUIRE_GREATER(x.retries, 0u);
    CAF_CHECK(!x.subject->flush(1ms));
  }
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.count(x.tenant), "2 2");
  CAF_CHECK_EQUAL(x.rejected, 0u);
}

CAF_TEST(a log that is written to is kept at its bound) {
  fixture x{shared_database().as("kg_control"), {.events = 100, .every = 10ms, .after_marks = 50}};
  for (int i = 0; i < 350; ++i)
    x.subject->note(some_mark(x.tenant));
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (x.count(x.tenant) != "100 350" && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  CAF_CHECK_EQUAL(x.count(x.tenant), "100 350");
}
