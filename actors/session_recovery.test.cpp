#define CAF_SUITE session_recovery

#include "actors/session_fixture.test.hpp"

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;

namespace limits = kgents::runtime::limits;

using kind = sql::failure::kind;

namespace {

struct fixture : session_fixture {
  fixture() { activate(); }

  /// Nobody holds the log: what a node that restarts has.
  void forget_log() {
    log.reset();
    log = logs.open(id);
  }

  /// Lets time pass as it does, tick by tick.
  void idle(std::chrono::seconds time) {
    for (auto t = 0s; t < time; t += 10s)
      wait(10s);
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_recovery_tests, fixture)

CAF_TEST(a turn goes on behind its durable prefix with the same indices and a higher epoch) {
  const auto turn = say().turn;
  speak(calls[0], {"A", "B"});
  commit();
  speak(calls[0], {"lost"});
  const auto message = store.turns[0].message;
  crash();
  activate();
  CAF_REQUIRE_EQUAL(calls.size(), 2u);
  CAF_CHECK(calls[1].turn == turn);
  CAF_CHECK_EQUAL(calls[1].epoch, 2u);
  CAF_CHECK_EQUAL(calls[1].ask.prefix, "AB");
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B");
  speak(calls[0], {"of the old call"});
  speak(calls[1], {"C"});
  commit();
  finish(calls[1]);
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B 2:C complete:stop");
  CAF_CHECK_EQUAL(events()[3]->place().epoch, 2u);
  CAF_CHECK_EQUAL(*store.turns[0].end[3], "ABC");
  CAF_CHECK_EQUAL(store.turns[0].message, message);
}

CAF_TEST(a node that starts shows the durable prefix again) {
  say();
  speak(calls[0], {"A", "B"});
  commit();
  crash();
  forget_log();
  CAF_CHECK_EQUAL(shown(), "");
  activate();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B");
  CAF_CHECK_EQUAL(*calls[1].credit, 64u);
}

CAF_TEST(what was shown before it was durable stays in the answer) {
  services->show_at_once = true;
  say();
  speak(calls[0], {"A"});
  commit();
  speak(calls[0], {"B"});
  crash();
  activate();
  CAF_CHECK_EQUAL(calls[1].ask.prefix, "AB");
  speak(calls[1], {"C"});
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B 2:C");
}

CAF_TEST(what is durable and was not shown is shown by the next activation) {
  say();
  speak(calls[0], {"A", "B"});
  store.turns[0].chunks = {"A", "B"};  // committed, and the process died before it heard so
  crash();
  activate();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B");
}

CAF_TEST(a greeting that was stored in part is not said twice) {
  auto x = message("hello");
  say(x);
  commit();
  crash();
  store.turns[0].status = "running";
  store.turns[0].end.clear();
  forget_log();
  activate();
  commit();
  CAF_CHECK(calls.empty());
  CAF_CHECK_EQUAL(events().size(), 3u);
  CAF_CHECK_EQUAL(*store.turns[0].end[3], store.turns[0].chunks.at(0));
}

CAF_TEST(all unfinished turns are run in their order) {
  say(message("Why is the first question the longest?"));
  say(message("Why is the second question shorter?"));
  crash();
  activate();
  CAF_REQUIRE_EQUAL(calls.size(), 2u);
  finish(calls[1]);
  CAF_REQUIRE_EQUAL(calls.size(), 3u);
  CAF_CHECK(calls[2].ask.messages.back().content.find("second") != std::string::npos);
}

CAF_TEST(a commit that is refused for its epoch stops the session and the next goes on) {
  say();
  say();
  speak(calls[0], {"A"});
  const auto waiting = ask<canceled>(cancel_turn{});
  store.turns[0].epoch = 7;  // another node has taken it over
  commit();
  CAF_CHECK(!alive());
  CAF_CHECK_EQUAL(db->count("end"), 0u);
  CAF_CHECK_EQUAL(shown(), "turn");
  CAF_CHECK_EQUAL(permits->taken(), 0u);  // although somebody still waits for an answer
  activate();
  CAF_CHECK_EQUAL(calls.back().epoch, 8u);
  speak(calls.back(), {"B"});
  CAF_CHECK(log->mark_dirty());
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:B");
}

CAF_TEST(an end that is fenced stops the session) {
  say();
  store.turns[0].epoch = 7;
  finish(calls[0]);
  CAF_CHECK(!alive());
  CAF_CHECK_EQUAL(shown(), "turn");
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(a message whose storing has an unknown outcome is looked up and answered) {
  db->fail("begin", kind::unknown_outcome, true);
  const auto no = refused(message());
  CAF_CHECK_EQUAL(no.status, 503);
  CAF_CHECK_EQUAL(no.retry_after_seconds, 1u);
  CAF_CHECK(calls.empty());
  db->fail("unfinished", kind::unavailable);
  wait(limits::end_turn_retry);
  CAF_CHECK(calls.empty());
  wait(limits::end_turn_retry);
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  CAF_CHECK_EQUAL(calls[0].epoch, 2u);
  CAF_CHECK_EQUAL(shown(), "turn");
}

CAF_TEST(a message that was not stored after all leaves nothing to run) {
  db->fail("begin", kind::timeout);
  CAF_CHECK_EQUAL(refused(message()).status, 503);
  wait(limits::end_turn_retry);
  CAF_CHECK_EQUAL(db->count("unfinished"), 2u);
  CAF_CHECK(calls.empty());
  say();
  CAF_CHECK_EQUAL(calls.size(), 1u);
}

CAF_TEST(a session stays while it does not know whether a message is stored) {
  db->fail("begin", kind::unknown_outcome, true);
  refused(message());
  db->hold("unfinished");
  idle(600s);
  CAF_CHECK_EQUAL(retired, 0);
  release("unfinished");
  CAF_CHECK_EQUAL(calls.size(), 1u);
}

CAF_TEST(an end whose outcome is unknown is verified and shown when it was written) {
  say();
  speak(calls[0], {"A"});
  commit();
  db->fail("end", kind::unknown_outcome, true);
  finish(calls[0]);
  CAF_CHECK_EQUAL(shown(), "turn 0:A");
  wait(limits::end_turn_retry);
  CAF_CHECK_EQUAL(db->count("get"), 1u);
  CAF_CHECK_EQUAL(shown(), "turn 0:A complete:stop");
  CAF_CHECK_EQUAL(ended, std::vector<std::string>{"completed 7"});
}

CAF_TEST(an end whose outcome is unknown is repeated when it was not written) {
  say();
  db->fail("end", kind::timeout);
  finish(calls[0]);
  wait(limits::end_turn_retry);
  CAF_CHECK_EQUAL(db->count("get"), 0u);
  CAF_CHECK_EQUAL(shown(), "turn complete:stop");
}

CAF_TEST(an end whose outcome is unknown and that another has written stops the session) {
  say();
  db->fail("end", kind::unknown_outcome);
  finish(calls[0]);
  store.turns[0].epoch = 7;
  db->fail("get", kind::unavailable);
  wait(limits::end_turn_retry);
  CAF_CHECK(alive());
  wait(limits::end_turn_retry);
  CAF_CHECK(!alive());
  CAF_CHECK_EQUAL(shown(), "turn");
}

CAF_TEST(an end is tried until the database is back and messages wait meanwhile) {
  say();
  for (int i = 0; i < 3; ++i)
    db->fail("end", kind::unavailable);
  finish(calls[0]);
  say(message("Why not now?"));
  for (int i = 0; i < 3; ++i) {
    CAF_CHECK_EQUAL(shown(), "turn");
    wait(limits::end_turn_retry);
  }
  CAF_CHECK_EQUAL(shown(), "turn complete:stop turn");
  CAF_CHECK_EQUAL(db->count("end"), 4u);
}

CAF_TEST(a history that cannot be read is read again and a claim too) {
  db->fail("history", kind::unavailable);
  say();
  say();
  CAF_CHECK(calls.empty());
  wait(limits::end_turn_retry);
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  db->fail("claim", kind::overloaded);
  finish(calls[0]);
  CAF_CHECK_EQUAL(calls.size(), 1u);
  wait(limits::end_turn_retry);
  CAF_CHECK_EQUAL(calls.size(), 2u);
}

CAF_TEST(a waiting turn that has ended elsewhere is passed over) {
  say();
  say();
  say();
  store.turns[1].status = "completed";
  finish(calls[0]);
  CAF_REQUIRE_EQUAL(calls.size(), 2u);
  CAF_CHECK_EQUAL(calls[1].turn.text(), store.turns[2].id);
}

CAF_TEST(a removed session answers 404 and cancels its turns) {
  say();
  say();
  speak(calls[0], {"A"});
  const auto gone = ask<session_view>(remove_session{});
  CAF_REQUIRE(gone->has_value());
  CAF_CHECK_EQUAL((*gone)->value.status, "closed");
  CAF_CHECK((*ask<session_view>(get_session{}))->wrong.status == 404);
  CAF_CHECK_EQUAL(refused(message()).status, 404);
  CAF_CHECK((*ask<runtime::attached>(attach_reader{}))->wrong.status == 404);
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A complete:canceled turn complete:canceled");
  CAF_CHECK_EQUAL(calls.size(), 1u);
  idle(limits::passivate_after);
  CAF_CHECK(!alive());
}

CAF_TEST(a session that is not there answers 404 and goes when the region lets it) {
  crash();
  store.exists = false;
  may_retire = false;
  db->hold("load");
  activate();
  const auto out = ask<session_view>(get_session{});
  CAF_CHECK(!out->has_value());
  release("load");
  CAF_REQUIRE(out->has_value());
  CAF_CHECK_EQUAL((*out)->wrong.status, 404);
  wait(limits::end_turn_retry);
  CAF_CHECK(alive());  // a message is on its way
  CAF_CHECK((*ask<session_view>(get_session{}))->wrong.status == 404);
  may_retire = true;
  wait(limits::end_turn_retry);
  CAF_CHECK(!alive());
}

CAF_TEST(a session that cannot be loaded says so and makes way for another try) {
  for (const auto* what : {"load", "unfinished"}) {
    crash();
    db->fail(what, kind::unavailable);
    db->hold("load");
    activate();
    const auto out = ask<session_view>(get_session{});
    release("load");
    CAF_REQUIRE(out->has_value());
    CAF_CHECK_EQUAL((*out)->wrong.status, 503);
    wait(limits::end_turn_retry);
    CAF_CHECK(!alive());
    activate();
    CAF_CHECK((*ask<session_view>(get_session{}))->ok());
  }
}

CAF_TEST(an idle session leaves memory and one that was spoken to does not ) {
  idle(limits::passivate_after - 30s);
  ask<session_view>(get_session{});
  idle(limits::passivate_after - 30s);
  CAF_CHECK(alive());
  idle(60s);
  CAF_CHECK(!alive());
  CAF_CHECK_EQUAL(retired, 1);
}

CAF_TEST(an idle session stays while a message is on its way to it) {
  may_retire = false;
  idle(600s);
  CAF_CHECK(alive());
  may_retire = true;
  idle(60s);
  CAF_CHECK(!alive());
}

CAF_TEST(a session stays while a turn runs or waits for its last commit) {
  say();
  idle(600s);
  CAF_CHECK(alive());
  speak(calls[0], {"A"});
  finish(calls[0]);
  idle(600s);
  CAF_CHECK(alive());
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A complete:stop");
  idle(limits::passivate_after + 30s);
  CAF_CHECK(!alive());
}

CAF_TEST(ended turns leave the log when it is idle or holds too much) {
  whole_turn({std::string(limits::log_keep_bytes, 'x')});
  CAF_CHECK_EQUAL(log->at().base, 0u);
  whole_turn();
  CAF_CHECK_EQUAL(log->at().base, 3u);  // the turn before the last has gone
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B complete:stop");
  idle(limits::log_keep_ended * 2);
  CAF_CHECK_EQUAL(log->held_bytes(), 0u);
  whole_turn();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B complete:stop");
}

CAF_TEST_FIXTURE_SCOPE_END()
