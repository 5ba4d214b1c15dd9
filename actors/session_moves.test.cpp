#define CAF_SUITE session_moves

#include "actors/session_fixture.test.hpp"

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;
using runtime::departed;
using runtime::moving_turn;

using kind = sql::failure::kind;

namespace {

const node_id here{1};
const node_id there{2};

/// A model call that notes what it is told besides its credit.
caf::behavior scripted_worker(caf::event_based_actor*, const std::shared_ptr<uint32_t>& credit,
                              std::string* heard) {
  return {[=](const turn_credit& x) { *credit += x.chunks; },
          [=](runtime::turn_hold) { *heard += "hold "; },
          [=](const runtime::turn_home&) { *heard += "home "; },
          [=](runtime::turn_let_go) { *heard += "let-go "; }};
}

struct departure {
  std::optional<departed> done;
  bool off = false;
};

caf::behavior leaver(caf::event_based_actor* self, const caf::actor& session,
                     const std::shared_ptr<departure>& out) {
  self->request(session, caf::infinite, runtime::leave_node{})
      .then([out](const departed& x) { out->done = x; },
            [out](const caf::error&) { out->off = true; });
  return {[](int) {}};
}

struct fixture : session_fixture {
  std::string worker_heard;
  std::optional<moving_turn> arrives;
  std::deque<moving_turn> adopted;
  caf::actor adopted_worker;
  std::shared_ptr<uint32_t> adopted_credit = std::make_shared<uint32_t>(0);
  bool worker_is_there = true;
  caf::error ended_with;

  fixture() {
    services->self = [] { return here; };
    services->start_turn = [this](llm::prompt ask, turn_id turn, lease_epoch epoch,
                                  caf::actor session) {
      auto& x = calls.emplace_back();
      x.ask = std::move(ask);
      x.turn = turn;
      x.epoch = epoch;
      x.session = std::move(session);
      x.worker = sys.spawn(scripted_worker, x.credit, &worker_heard);
      all.push_back(x.worker);
      return x.worker;
    };
    services->arrived = [this](const entity_id& who) {
      CAF_CHECK(who == id);
      return std::exchange(arrives, std::nullopt);
    };
    services->adopt_turn = [this](const moving_turn& x, const caf::actor&) -> caf::actor {
      adopted.push_back(x);
      if (!worker_is_there)
        return {};
      adopted_worker = sys.spawn(scripted_worker, adopted_credit, &worker_heard);
      all.push_back(adopted_worker);
      return adopted_worker;
    };
  }

  void begin() {
    activate();
    ses->attach_functor([this](const caf::error& why) { ended_with = why; });
  }

  std::shared_ptr<departure> leave() {
    auto out = std::make_shared<departure>();
    all.push_back(sys.spawn(leaver, ses, out));
    consume_messages();
    return out;
  }

  void held(const call& x) { tell(runtime::turn_held{x.turn, x.epoch}); }

  /// A turn that was being answered on `worker` when its session left there: two chunks of it are
  /// durable.
  call arriving(node_id worker = there) {
    call out;
    out.turn = turn_id{uuid::random()};
    out.epoch = 3;
    store.turns.push_back({out.turn.text(),
                           uuid::random().text(),
                           uuid::random().text(),
                           "Why do rivers meander through a plain?",
                           "reflect",
                           "dialogue",
                           "running",
                           3,
                           {"A", "B"},
                           {}});
    arrives = moving_turn{id, out.turn, 3, worker, 10, 8, 1, 1000};
    return out;
  }

  void kill(const caf::actor& x) {
    caf::anon_send_exit(x, caf::exit_reason::kill);
    consume_messages();
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_moves_tests, fixture)

CAF_TEST(an idle session leaves at once) {
  begin();
  const auto out = leave();
  CAF_REQUIRE(out->done);
  CAF_CHECK(!out->done->has_turn);
  CAF_CHECK(!alive());
  CAF_CHECK_EQUAL(retired, 1);
  CAF_CHECK(!ended_with);
}

CAF_TEST(a session leaves with its turn when that is held and all of it is committed) {
  begin();
  const auto turn = say().turn;
  speak(calls[0], {"A", "B"});
  const auto out = leave();
  CAF_CHECK_EQUAL(worker_heard, "hold ");
  held(calls[0]);
  wait(1s);
  CAF_CHECK(!out->done);
  CAF_CHECK(alive());
  commit();
  wait(5ms);
  CAF_REQUIRE(out->done);
  CAF_CHECK(!alive());
  CAF_CHECK(out->done->has_turn);
  const auto& x = out->done->turn;
  CAF_CHECK(x.session == id);
  CAF_CHECK(x.turn == turn);
  CAF_CHECK_EQUAL(x.epoch, 1u);
  CAF_CHECK(x.worker == here);
  CAF_CHECK_EQUAL(x.credit, 62u);
  CAF_CHECK(x.prompt_words >= 7u);
  CAF_CHECK_EQUAL(x.inherited, 0u);
  CAF_CHECK_EQUAL(worker_heard, "hold let-go ");
  CAF_CHECK_EQUAL(store.turns[0].status, "running");
  CAF_CHECK_EQUAL(db->count("end"), 0u);
}

CAF_TEST(a session does not leave before its turn says that it is held) {
  begin();
  say();
  const auto out = leave();
  tell(runtime::turn_held{calls[0].turn, calls[0].epoch + 1});  // of another activation
  wait(1s);
  CAF_CHECK(!out->done);
  CAF_CHECK_EQUAL(worker_heard, "hold ");  // said once
  held(calls[0]);
  wait(5ms);
  CAF_CHECK(out->done);
}

CAF_TEST(a turn that ends meanwhile does not move and those behind it wait in the database) {
  begin();
  say();
  say();
  const auto out = leave();
  speak(calls[0], {"A"});
  finish(calls[0]);
  wait(5ms);
  CAF_CHECK(!out->done);
  commit();
  wait(5ms);
  CAF_REQUIRE(out->done);
  CAF_CHECK(!out->done->has_turn);
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  CAF_CHECK_EQUAL(store.turns[0].status, "completed");
  CAF_CHECK_EQUAL(store.turns[1].status, "queued");
}

CAF_TEST(a message that was on its way is answered and its turn moves too) {
  begin();
  may_retire = false;  // since it is on its way
  const auto out = leave();
  const auto turn = say().turn;
  may_retire = true;
  wait(5ms);
  CAF_CHECK(!out->done);
  held(calls.at(0));
  wait(5ms);
  CAF_REQUIRE(out->done);
  CAF_CHECK(out->done->has_turn);
  CAF_CHECK(out->done->turn.turn == turn);
}

CAF_TEST(a session that is being loaded leaves when it is) {
  db->hold("load");
  activate();
  const auto out = leave();
  wait(1s);
  CAF_CHECK(!out->done);
  release("load");
  wait(5ms);
  CAF_CHECK(out->done);
}

CAF_TEST(a message that is being stored is answered before its session leaves) {
  begin();
  db->hold("begin");
  const auto reply = ask<accepted>(message());
  const auto out = leave();
  wait(1s);
  CAF_CHECK(!out->done);
  release("begin");
  CAF_REQUIRE(reply->has_value());
  CAF_CHECK((*reply)->ok());
}

CAF_TEST(a session that does not exist leaves) {
  store.exists = false;
  activate();
  const auto out = leave();
  CAF_REQUIRE(out->done);
  CAF_CHECK(!out->done->has_turn);
}

CAF_TEST(a session that stays goes on with its turn and with those that wait) {
  begin();
  say();
  say();
  const auto out = leave();
  held(calls[0]);
  speak(calls[0], {"A"});
  tell(runtime::stay_on_node{});
  CAF_CHECK(out->off);
  CAF_CHECK_EQUAL(worker_heard, "hold home ");
  wait(1s);
  CAF_CHECK(alive());
  speak(calls[0], {"B"});
  finish(calls[0]);
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B complete:stop turn");
  CAF_CHECK_EQUAL(calls.size(), 2u);
}

CAF_TEST(a session that stayed waits for its turn anew when it leaves later) {
  begin();
  say();
  leave();
  held(calls[0]);
  speak(calls[0], {"A"});  // keeps it here
  tell(runtime::stay_on_node{});
  commit();
  const auto out = leave();
  wait(1s);
  CAF_CHECK_EQUAL(worker_heard, "hold home hold ");
  CAF_CHECK(!out->done);
  held(calls[0]);
  wait(5ms);
  CAF_CHECK(out->done);
}

CAF_TEST(a session that stays with nothing under way runs what waits) {
  begin();
  say();
  say();
  may_retire = false;
  leave();
  finish(calls[0]);
  wait(1s);
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  tell(runtime::stay_on_node{});
  CAF_CHECK_EQUAL(db->count("claim"), 1u);
  CAF_CHECK_EQUAL(calls.size(), 2u);
}

CAF_TEST(a turn that arrives goes on under its epoch and no model is asked) {
  const auto x = arriving();
  begin();
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  CAF_CHECK(calls.empty());
  CAF_REQUIRE_EQUAL(adopted.size(), 1u);
  CAF_CHECK(adopted[0].worker == there);
  CAF_CHECK_EQUAL(*adopted_credit, 54u);  // it had ten
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B");
  CAF_CHECK_EQUAL(permits->taken(), 1u);
  speak(x, {"C"});
  finish(x);
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B 2:C complete:stop");
  CAF_CHECK_EQUAL(store.turns[0].status, "completed");
  CAF_CHECK_EQUAL(*store.turns[0].end[3], "ABC");
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(a turn that arrives may move on and takes its own numbers along) {
  const auto x = arriving();
  begin();
  speak(x, {"C"});
  commit();
  const auto out = leave();
  held(x);
  wait(5ms);
  CAF_REQUIRE(out->done);
  const auto& turn = out->done->turn;
  CAF_CHECK(turn.worker == there);  // its model call has not moved
  CAF_CHECK_EQUAL(turn.epoch, 3u);
  CAF_CHECK_EQUAL(turn.credit, 63u);
  CAF_CHECK_EQUAL(turn.prompt_words, 8u);
  CAF_CHECK_EQUAL(turn.inherited, 1u);
  CAF_CHECK(turn.elapsed_ms >= 1000u);
}

CAF_TEST(a turn that came home is a turn of this node again) {
  const auto x = arriving(here);
  begin();
  kill(adopted_worker);
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B error:internal");
  CAF_CHECK_EQUAL(store.turns[0].status, "failed");
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
}

CAF_TEST(a canceled turn that arrived is charged for its whole prompt) {
  arriving();
  begin();
  const auto out = ask<canceled>(cancel_turn{});
  CAF_REQUIRE(out->has_value());
  CAF_CHECK_EQUAL(ended, std::vector<std::string>{"canceled 10"});
}

CAF_TEST(a turn of which the news is old is claimed) {
  const auto x = arriving();
  arrives->epoch = 2;
  begin();
  CAF_CHECK(adopted.empty());
  CAF_CHECK_EQUAL(db->count("claim"), 1u);
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  CAF_CHECK_EQUAL(calls[0].epoch, 4u);
  CAF_CHECK_EQUAL(calls[0].ask.prefix, "AB");
}

CAF_TEST(a turn whose model call is not there any more is claimed) {
  worker_is_there = false;
  arriving();
  begin();
  CAF_CHECK_EQUAL(adopted.size(), 1u);
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  CAF_CHECK_EQUAL(calls[0].epoch, 4u);
  CAF_CHECK_EQUAL(calls[0].ask.prefix, "AB");
}

CAF_TEST(when the node of a model call is lost its answer goes on from what is durable) {
  const auto x = arriving();
  begin();
  speak(x, {"C"});
  kill(adopted_worker);
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  commit();
  CAF_CHECK_EQUAL(db->count("claim"), 1u);
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  CAF_CHECK_EQUAL(calls[0].epoch, 4u);
  CAF_CHECK_EQUAL(calls[0].ask.prefix, "ABC");
  CAF_CHECK_EQUAL(*calls[0].credit, 64u);
  speak(calls[0], {"D"});
  finish(calls[0]);
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B 2:C 3:D complete:stop");
}

CAF_TEST(the news of an earlier commit does not take up a turn that is not durable) {
  const auto x = arriving();
  begin();
  speak(x, {"C"});
  kill(adopted_worker);
  tell(runtime::log_committed{});
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  commit();
  CAF_CHECK_EQUAL(db->count("claim"), 1u);
  CAF_CHECK_EQUAL(store.turns[0].chunks.size(), 3u);
}

CAF_TEST(a session whose model call is lost while it leaves goes without a turn) {
  const auto x = arriving();
  begin();
  const auto out = leave();
  held(x);
  speak(x, {"C"});
  kill(adopted_worker);
  wait(5ms);
  CAF_CHECK(!out->done);
  commit();
  wait(5ms);
  CAF_REQUIRE(out->done);
  CAF_CHECK(!out->done->has_turn);
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
  CAF_CHECK_EQUAL(store.turns[0].chunks.size(), 3u);
}

CAF_TEST(every write names the lease that the session holds) {
  begin();
  crash();
  db->heard.clear();
  db->fences.clear();
  ses = sys.spawn<session>(id, services, lease_epoch{9});
  all.push_back(ses);
  consume_messages();
  say();
  say();
  finish(calls[0]);
  ask<session_view>(update_session{});
  ask<session_view>(remove_session{});
  const sql::fence lease{shard_of(id), 9};
  size_t writes = 0;
  for (size_t i = 0; i < db->heard.size(); ++i) {
    const auto& name = db->heard[i];
    const bool write =
        name == "begin" || name == "claim" || name == "end" || name == "update" || name == "remove";
    writes += write ? 1 : 0;
    CAF_CHECK(db->fences[i] == (write ? std::optional{lease} : std::nullopt));
  }
  CAF_CHECK(writes >= 6u);  // the removal cancels the second turn
}

CAF_TEST(a session that another node has taken stops with its first write and answers nothing) {
  const auto check = [this](const char* write, auto&& provoke) {
    CAF_MESSAGE(write);
    begin();
    db->fail(write, kind::fenced);
    provoke();
    CAF_CHECK(!alive());
    CAF_CHECK(ended_with == runtime::fenced_error());
    store.turns.clear();
  };
  const auto nothing = [](const auto& reply) {
    CAF_CHECK(!reply->has_value() || (*reply)->wrong.code == lost.code);
  };
  check("begin", [&] { nothing(ask<accepted>(message())); });
  check("update", [&] { nothing(ask<session_view>(update_session{})); });
  check("remove", [&] { nothing(ask<session_view>(remove_session{})); });
  check("end", [&] {
    say();
    finish(calls.back());
    CAF_CHECK_EQUAL(shown().find("complete"), std::string::npos);
  });
  check("claim", [&] {
    say();
    say();
    finish(calls.back());
  });
}

CAF_TEST(a session whose log is written under a newer lease does not begin) {
  CAF_CHECK(log->begin(9, {}, runtime::session_log::start::behind));
  ses = sys.spawn<session>(id, services, lease_epoch{8});
  all.push_back(ses);
  consume_messages();
  CAF_CHECK(!alive());
  CAF_CHECK(db->heard.empty());
  CAF_CHECK_EQUAL(log->lease(), 9u);
}

CAF_TEST_FIXTURE_SCOPE_END()
