#define CAF_SUITE session_late_ends

#include "actors/session_fixture.test.hpp"

using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;

namespace limits = kgents::runtime::limits;

using kind = sql::failure::kind;

namespace {

/// What an activation that is gone had asked of PostgreSQL is carried out late: under the lease
/// that the next one on its node has too, so that no fence refuses it.
struct fixture : session_fixture {
  fixture() {
    activate();
    first = whole_turn({"A"});
    second = say().turn;
    speak(calls[1], {"B"});
    commit();
    crash();
  }

  /// Nobody holds the log: what a node that restarts has.
  void forget_log() {
    log.reset();
    log = logs.open(id);
  }

  void end_second_late() {
    auto& x = store.turns[1];
    x.status = "completed";
    x.end.resize(13);
    x.end[5] = "3";
    x.end[6] = "4";
    x.end[7] = "stop";
  }

  reply<runtime::attached> attach_behind(turn_id turn, int64_t index) {
    return ask<runtime::attached>(attach_reader{false, {turn, 1, index}, false});
  }

  std::string hears(const reply<runtime::attached>& x) {
    CAF_REQUIRE(x->has_value());
    CAF_REQUIRE((*x)->ok());
    const auto& here = (*x)->value;
    return here.backlog.empty() ? "log: " + shown(here.position) : line(here.backlog);
  }

  /// The present position of one who has heard the first turn.
  uint64_t behind_first() {
    const auto x = attach_behind(first, 1);
    CAF_REQUIRE(x->has_value());
    CAF_REQUIRE((*x)->value.backlog.empty());
    return (*x)->value.position;
  }

  /// Loads the session while the turn ends: between the first thing that is read of it and the
  /// next.
  void activate_meanwhile() {
    db->hold("load");
    db->hold("unfinished");
    activate();
    const bool history_first = db->waiting("load") == 1;
    release(history_first ? "load" : "unfinished");
    end_second_late();
    release(history_first ? "unfinished" : "load");
  }

  turn_id first, second;
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_late_ends_tests, fixture)

CAF_TEST(a turn that ends while its session is loaded is heard by who comes then) {
  forget_log();
  activate_meanwhile();
  CAF_CHECK_EQUAL(hears(attach_behind(first, 1)), "turn 0:B complete:stop");
  CAF_CHECK_EQUAL(hears(attach_behind(second, 0)), "complete:stop");
  CAF_CHECK_EQUAL(calls.size(), 2u);
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  const auto behind_second = attach_behind(second, 1);
  say();
  CAF_CHECK_EQUAL(hears(behind_second), "log: turn");
}

CAF_TEST(a turn that ends while its session is loaded is heard by who followed it) {
  auto position = log->at().shown;
  activate_meanwhile();
  std::vector<event_ptr> events;
  CAF_CHECK(!log->read(position, events, 100));  // so it asks for its place
  CAF_CHECK_EQUAL(hears(attach_behind(second, 0)), "complete:stop");
}

CAF_TEST(a turn that ends before it is claimed is passed over and heard by its readers) {
  forget_log();
  db->hold("claim");
  activate();
  auto position = behind_first();
  const auto waiting = attach_behind(second, 0);
  CAF_CHECK(!waiting->has_value());
  end_second_late();
  db->fail("load", kind::unavailable);
  release("claim");
  CAF_CHECK(!waiting->has_value());
  wait(limits::end_turn_retry);
  CAF_CHECK_EQUAL(hears(waiting), "complete:stop");
  std::vector<event_ptr> events;
  CAF_CHECK(!log->read(position, events, 100));
  CAF_CHECK_EQUAL(hears(attach_behind(first, 1)), "turn 0:B complete:stop");
  const auto behind_second = attach_behind(second, 1);
  CAF_CHECK_EQUAL(db->count("replay"), 2u);  // none of them for this one: the log goes on there
  CAF_CHECK_EQUAL(calls.size(), 2u);
  CAF_CHECK_EQUAL(permits->taken(), 0u);
  say();
  CAF_CHECK_EQUAL(hears(behind_second), "log: turn");
}

CAF_TEST(a turn that ends before it is claimed is heard by who followed it) {
  auto position = log->at().shown;
  db->hold("claim");
  activate();
  say();
  end_second_late();
  release("claim");
  CAF_REQUIRE_EQUAL(calls.size(), 3u);
  CAF_CHECK_EQUAL(shown(), "turn");
  std::vector<event_ptr> events;
  CAF_CHECK(!log->read(position, events, 100));
  CAF_CHECK_EQUAL(hears(attach_behind(second, 0)), "complete:stop");
}

CAF_TEST(a page that was read before a turn was passed over is read again) {
  forget_log();
  db->hold("claim");
  db->hold("replay");
  activate();
  const auto reader = attach_behind(first, 0);
  CAF_CHECK_EQUAL(db->waiting("replay"), 1u);
  end_second_late();
  release("claim");
  release("replay");
  CAF_CHECK_EQUAL(hears(reader), "complete:stop turn 0:B complete:stop");
  CAF_CHECK_EQUAL(db->count("replay"), 2u);
}

CAF_TEST(a message behind a turn that was stored late is answered after it) {
  end_second_late();
  activate();
  const auto late = uuid::random().text();
  store.turns.push_back({late,
                         uuid::random().text(),
                         uuid::random().text(),
                         "Why was it late?",
                         "reflect",
                         "dialogue",
                         "running",
                         1,
                         {},
                         {}});
  const auto next = say().turn;
  CAF_REQUIRE_EQUAL(calls.size(), 3u);
  CAF_CHECK_EQUAL(calls[2].turn.text(), late);
  finish(calls[2]);
  CAF_REQUIRE_EQUAL(calls.size(), 4u);
  CAF_CHECK(calls[3].turn == next);
  finish(calls[3]);
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
