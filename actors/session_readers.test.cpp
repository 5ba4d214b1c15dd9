#define CAF_SUITE session_readers

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

  answer<runtime::attached> attach(attach_reader x) {
    const auto out = ask<runtime::attached>(std::move(x));
    CAF_REQUIRE(out->has_value());
    return **out;
  }

  answer<runtime::attached> behind(turn_id turn, int64_t index, bool this_turn = false) {
    return attach({false, {turn, 1, index}, this_turn});
  }

  /// What a reader who asks hears: its backlog, or else the log from its position on.
  std::string hears(const answer<runtime::attached>& x) {
    if (!x.ok())
      return "refused " + std::to_string(x.wrong.status);
    CAF_CHECK(x.value.log == log);
    return x.value.backlog.empty() ? "log: " + shown(x.value.position) : line(x.value.backlog);
  }

  /// The node goes and another takes the session over: what was not durable is nowhere.
  void lose_node() {
    crash();
    log.reset();
    log = logs.open(id);
    activate();
  }

  /// The log holds nothing any more: only PostgreSQL knows.
  void drop_log() { log->drop_before(log->at().end); }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_readers_tests, fixture)

CAF_TEST(a live reader hears what comes from now on) {
  whole_turn();
  const auto x = attach({});
  CAF_CHECK_EQUAL(hears(x), "log: ");
  whole_turn({"C"});
  CAF_CHECK_EQUAL(hears(x), "log: turn 0:C complete:stop");
}

CAF_TEST(a live reader that comes in mid turn hears the turn from its start) {
  whole_turn();
  say();
  speak(calls[1], {"C"});
  commit();
  CAF_CHECK_EQUAL(hears(attach({})), "log: turn 0:C");
}

CAF_TEST(a cursor in the log goes on behind its event) {
  const auto turn = whole_turn();
  whole_turn({"C"});
  CAF_CHECK_EQUAL(hears(behind(turn, cursor::before_turn)),
                  "log: turn 0:A 1:B complete:stop turn 0:C complete:stop");
  CAF_CHECK_EQUAL(hears(behind(turn, cursor::turn_event)),
                  "log: 0:A 1:B complete:stop turn 0:C complete:stop");
  CAF_CHECK_EQUAL(hears(behind(turn, 1)), "log: complete:stop turn 0:C complete:stop");
  CAF_CHECK_EQUAL(hears(behind(turn, 2)), "log: turn 0:C complete:stop");
  CAF_CHECK_EQUAL(db->count("locate"), 0u);
}

CAF_TEST(a cursor that the log has dropped goes on with what PostgreSQL has) {
  const auto turn = whole_turn();
  whole_turn({"C"});
  drop_log();
  CAF_CHECK_EQUAL(hears(behind(turn, 0)), "1:B complete:stop turn 0:C complete:stop");
  CAF_CHECK_EQUAL(hears(behind(turn, cursor::before_turn)),
                  "turn 0:A 1:B complete:stop turn 0:C complete:stop");
  CAF_CHECK_EQUAL(hears(behind(turn, 2)), "turn 0:C complete:stop");
  CAF_CHECK_EQUAL(hears(behind(turn, 0, true)), "1:B complete:stop");
}

CAF_TEST(a replayed turn is told as it was live) {
  const auto turn = whole_turn();
  const auto live = events();
  drop_log();
  const auto old = behind(turn, cursor::before_turn).value.backlog;
  CAF_REQUIRE_EQUAL(old.size(), live.size());
  for (size_t i = 0; i < live.size(); ++i)
    CAF_CHECK_EQUAL(std::string{old[i]->sse()}, std::string{live[i]->sse()});
}

CAF_TEST(a failed turn is replayed with its durable chunks and its error) {
  const auto turn = say().turn;
  speak(calls[0], {"A"});
  commit();
  turn_finished last;
  last.turn = turn;
  last.epoch = 1;
  last.error_type = "provider_timeout";
  last.error = "too late";
  tell(last);
  const auto live = events();
  drop_log();
  const auto old = behind(turn, cursor::before_turn).value.backlog;
  CAF_CHECK_EQUAL(line(old), "turn 0:A error:provider_timeout");
  CAF_REQUIRE_EQUAL(old.size(), live.size());
  CAF_CHECK_EQUAL(std::string{old.back()->sse()}, std::string{live.back()->sse()});
}

CAF_TEST(a reader of the last turn in PostgreSQL is live behind it) {
  const auto turn = whole_turn();
  drop_log();
  const auto x = behind(turn, 2);
  CAF_CHECK_EQUAL(hears(x), "log: ");
  whole_turn({"C"});
  CAF_CHECK_EQUAL(hears(x), "log: turn 0:C complete:stop");
}

CAF_TEST(a page from PostgreSQL ends where the log begins) {
  const auto turn = whole_turn();
  drop_log();
  whole_turn({"C"});
  say();
  const auto x = behind(turn, 1);
  CAF_CHECK_EQUAL(hears(x), "complete:stop");
  CAF_CHECK_EQUAL(shown(x.value.position), "turn 0:C complete:stop turn");
}

CAF_TEST(a cursor of a turn that this session never had is not found) {
  CAF_CHECK_EQUAL(hears(behind(turn_id{uuid::random()}, 0)), "refused 404");
}

CAF_TEST(a reader of a turn that waits hears it when its time comes) {
  say();
  const auto turn = say().turn;
  const auto x = behind(turn, cursor::before_turn, true);
  CAF_CHECK_EQUAL(hears(x), "log: ");
  finish(calls[0]);
  CAF_CHECK_EQUAL(hears(x), "log: complete:stop turn");
  CAF_CHECK_EQUAL(db->count("locate"), 0u);
}

CAF_TEST(what was shown before it was durable and lost with its node is a gap) {
  services->show_at_once = true;
  const auto turn = say().turn;
  speak(calls[0], {"A"});
  commit();
  speak(calls[0], {"B"});
  lose_node();
  const auto x = behind(turn, 1);
  CAF_CHECK_EQUAL(hears(x), "gap");
  CAF_CHECK(x.value.backlog[0]->place() == (cursor{turn, 2, 0}));
  CAF_CHECK_EQUAL(hears(behind(turn, 0)), "log: ");
  speak(calls[1], {"C"});
  CAF_CHECK_EQUAL(hears(attach({false, {turn, 2, 0}, false})), "log: 1:C");
}

CAF_TEST(a first chunk that was shown and lost is a gap too) {
  services->show_at_once = true;
  const auto turn = say().turn;
  speak(calls[0], {"A"});
  lose_node();
  const auto x = behind(turn, 0);
  CAF_CHECK_EQUAL(hears(x), "gap");
  CAF_CHECK(x.value.backlog[0]->place() == (cursor{turn, 2, cursor::turn_event}));
  CAF_CHECK_EQUAL(hears(behind(turn, cursor::turn_event)), "log: ");
}

CAF_TEST(a reader who comes while its turn is taken over waits until that is in the log) {
  const auto turn = say().turn;
  speak(calls[0], {"A", "B"});
  commit();
  db->hold("claim");
  lose_node();
  const auto out = ask<runtime::attached>(attach_reader{false, {turn, 1, 0}, false});
  CAF_CHECK(!out->has_value());
  release("claim");
  CAF_REQUIRE(out->has_value());
  CAF_CHECK_EQUAL(hears(**out), "log: 1:B");
}

CAF_TEST(a reader who waits for a turn that has ended elsewhere hears it from PostgreSQL) {
  const auto turn = say().turn;
  speak(calls[0], {"A", "B"});
  commit();
  db->hold("claim");
  lose_node();
  const auto out = ask<runtime::attached>(attach_reader{false, {turn, 1, 0}, false});
  store.turns[0].status = "canceled";
  release("claim");
  CAF_REQUIRE(out->has_value());
  CAF_CHECK_EQUAL(hears(**out), "1:B complete:");
}

CAF_TEST(the start of a long answer leaves the log and readers hear it from the session) {
  const auto turn = say().turn;
  for (size_t i = 0; i < 2 * limits::log_trim_running; ++i) {
    speak(calls[0], {"x"});
    commit();
  }
  CAF_CHECK(log->at().end - log->at().base <= limits::log_trim_running + 1);
  for (const auto& x : {attach({}), behind(turn, cursor::before_turn)}) {
    const auto& backlog = x.value.backlog;
    CAF_REQUIRE(!backlog.empty());
    CAF_CHECK_EQUAL(backlog.front()->place().index, cursor::turn_event);
    for (size_t i = 0; i < backlog.size(); ++i)
      CAF_CHECK(backlog[i]->place().index == static_cast<int64_t>(i) - 1);
    const auto rest = behind(turn, backlog.back()->place().index);
    CAF_CHECK(rest.value.backlog.empty());
    CAF_CHECK_EQUAL(rest.value.position, log->at().base);
  }
  CAF_CHECK(behind(turn, 5).value.backlog.front()->place().index == 6);
  CAF_CHECK_EQUAL(db->count("locate"), 0u);
}

CAF_TEST(a long answer is replayed in pages) {
  const auto turn = say().turn;
  const size_t chunks = 3 * limits::replay_bytes / 1024;
  for (size_t i = 0; i < chunks; ++i) {
    speak(calls[0], {std::string(1024, 'x')});
    commit();
  }
  const auto pages = [&] {
    size_t count = 0;
    for (auto at = cursor::before_turn; at < static_cast<int64_t>(chunks); ++count) {
      const auto x = behind(turn, at, true);
      if (x.value.backlog.empty())
        break;  // the log has the rest
      size_t bytes = 0;
      for (const auto& e : x.value.backlog) {
        CAF_CHECK_EQUAL(e->place().index, ++at);
        if (e->kind() == event_kind::chunk)
          bytes += e->http_chunk().size();
      }
      CAF_CHECK_LESS(bytes, limits::replay_bytes + 2 * 1024);
    }
    return count;
  };
  CAF_CHECK_GREATER(pages(), 1u);  // while it runs
  finish(calls[0]);
  drop_log();
  CAF_CHECK_GREATER(pages(), 2u);
  // Those who are as far share the whole text.
  const auto x = behind(turn, chunks - 1);
  const auto y = behind(turn, chunks - 1);
  CAF_CHECK(x.value.backlog.front() == y.value.backlog.front());
}

CAF_TEST(a turn that ends and leaves the log while a page is read is in the page) {
  const auto turn = whole_turn();
  drop_log();
  say();
  db->hold("replay");
  const auto out = ask<runtime::attached>(attach_reader{false, {turn, 1, 1}, false});
  finish(calls[1]);
  for (int i = 0; i < 20; ++i)
    wait(10s);
  CAF_CHECK(alive());
  CAF_CHECK_EQUAL(shown(), "");
  release("replay");
  CAF_REQUIRE(out->has_value());
  CAF_CHECK_EQUAL(hears(**out), "complete:stop turn complete:stop");
}

CAF_TEST(a reader is told when the database is away) {
  const auto turn = whole_turn();
  drop_log();
  for (const auto* what : {"locate", "replay"}) {
    db->fail(what, kind::unavailable);
    CAF_CHECK_EQUAL(hears(behind(turn, 0)), "refused 503");
  }
  CAF_CHECK_EQUAL(hears(behind(turn, 0)), "1:B complete:stop");
}

CAF_TEST(a reader keeps its log while the session is passivated) {
  const auto x = attach({});
  for (int i = 0; i < 20; ++i)
    wait(10s);
  CAF_REQUIRE(!alive());
  activate();
  whole_turn();
  CAF_CHECK_EQUAL(hears(x), "log: turn 0:A 1:B complete:stop");
}

CAF_TEST_FIXTURE_SCOPE_END()
