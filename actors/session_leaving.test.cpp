#define CAF_SUITE session_leaving

#include "actors/session_fixture.test.hpp"

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;
using runtime::departed;
using runtime::moving_turn;

namespace {

const node_id here{1};
const node_id there{2};

caf::behavior mute_worker(caf::event_based_actor*) {
  return {[](const turn_credit&) {}, [](runtime::turn_hold) {}, [](const runtime::turn_home&) {},
          [](runtime::turn_let_go) {}};
}

caf::behavior leaver(caf::event_based_actor* self, const caf::actor& session,
                     const std::shared_ptr<std::optional<departed>>& out) {
  self->request(session, caf::infinite, runtime::leave_node{})
      .then([out](const departed& x) { *out = x; }, [](const caf::error&) {});
  return {[](int) {}};
}

struct fixture : session_fixture {
  std::optional<moving_turn> arrives;
  caf::actor adopted;

  fixture() {
    services->self = [] { return here; };
    services->start_turn = [this](llm::prompt, turn_id turn, lease_epoch epoch,
                                  caf::actor session) {
      auto& x = calls.emplace_back();
      x.turn = turn;
      x.epoch = epoch;
      x.session = std::move(session);
      x.worker = sys.spawn(mute_worker);
      all.push_back(x.worker);
      return x.worker;
    };
    services->arrived = [this](const entity_id&) { return std::exchange(arrives, std::nullopt); };
    services->adopt_turn = [this](const moving_turn&, const caf::actor&) {
      adopted = sys.spawn(mute_worker);
      all.push_back(adopted);
      return adopted;
    };
  }

  std::shared_ptr<std::optional<departed>> leave() {
    auto out = std::make_shared<std::optional<departed>>();
    all.push_back(sys.spawn(leaver, ses, out));
    consume_messages();
    return out;
  }

  void held(const call& x) { tell(runtime::turn_held{x.turn, x.epoch}); }

  reply<canceled> cancel(turn_id which = {}) { return ask<canceled>(cancel_turn{which}); }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_leaving_tests, fixture)

CAF_TEST(what a turn answered to a hold that was undone does not count for the next one) {
  activate();
  say();
  leave();
  tell(runtime::stay_on_node{});
  const auto out = leave();
  held(calls[0]);  // the first hold's
  wait(1s);
  CAF_CHECK(!*out);
  speak(calls[0], {"A"});  // sent before the second one reached it
  held(calls[0]);
  commit();
  wait(5ms);
  CAF_REQUIRE(*out);
  CAF_CHECK_EQUAL((*out)->turn.credit, 63u);
}

CAF_TEST(a canceled turn that waits ends before its session leaves) {
  activate();
  say();
  const auto second = say().turn;
  cancel(second);
  const auto out = leave();
  finish(calls[0]);
  commit();
  wait(5ms);
  CAF_CHECK(*out);
  CAF_CHECK_EQUAL(store.turns[0].status, "completed");
  CAF_CHECK_EQUAL(store.turns[1].status, "canceled");
}

CAF_TEST(the turns of a removed session end before it leaves) {
  activate();
  say();
  say();
  say();
  CAF_REQUIRE(ask<session_view>(remove_session{})->has_value());
  const auto out = leave();
  wait(5ms);
  CAF_CHECK(*out);
  for (const auto& x : store.turns)
    CAF_CHECK_EQUAL(x.status, "canceled");
}

CAF_TEST(a turn whose model call is lost can be canceled before its last chunk is durable) {
  store.turns.push_back({uuid::random().text(),
                         uuid::random().text(),
                         uuid::random().text(),
                         "Why do rivers meander through a plain?",
                         "reflect",
                         "dialogue",
                         "running",
                         3,
                         {"A"},
                         {}});
  const turn_id turn{*uuid::parse(store.turns[0].id)};
  arrives = moving_turn{id, turn, 3, there, 10, 8, 0, 0};
  activate();
  call x;
  x.turn = turn;
  x.epoch = 3;
  speak(x, {"B"});
  caf::anon_send_exit(adopted, caf::exit_reason::remote_link_unreachable);
  consume_messages();
  const auto out = cancel();
  commit();
  wait(5ms);
  CAF_CHECK(out->has_value());
  CAF_CHECK_EQUAL(store.turns[0].status, "canceled");
  CAF_CHECK_EQUAL(db->count("claim"), 0u);
}

CAF_TEST(a turn that was stored behind the back of this activation runs when it is asked for again) {
  activate();
  auto x = message();
  x.turn = turn_id{uuid::random()};
  x.idempotency_key = "k";
  store.keys.emplace("k", x.turn.text());
  store.turns.push_back({x.turn.text(),
                         uuid::random().text(),
                         uuid::random().text(),
                         x.text,
                         "reflect",
                         "dialogue",
                         "running",
                         1,
                         {},
                         {}});
  const auto out = say(x);
  CAF_CHECK(out.joined);
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  CAF_CHECK(calls[0].turn == x.turn);
}

CAF_TEST_FIXTURE_SCOPE_END()
