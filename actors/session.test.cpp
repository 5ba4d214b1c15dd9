#define CAF_SUITE session

#include "actors/session_fixture.test.hpp"
#include "actors/token_room.hpp"

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;

namespace limits = kgents::runtime::limits;

using kind = sql::failure::kind;

namespace {

struct fixture : session_fixture {
  fixture() { activate(); }

  std::vector<std::string> many(size_t count) { return std::vector<std::string>(count, "x"); }

  /// The message of a model call, without what the persona puts around it.
  static bool asks(const call& x, std::string_view text) {
    return x.ask.messages.back().content.find(text) != std::string::npos;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_tests, fixture)

CAF_TEST(a message is stored and its turn is asked of the model behind the history) {
  const auto x = say();
  CAF_CHECK(!x.joined);
  CAF_CHECK_EQUAL(x.epoch, 1u);
  CAF_CHECK_EQUAL(db->heard, std::vector<std::string>({"unfinished", "load", "begin", "history"}));
  CAF_REQUIRE_EQUAL(calls.size(), 1u);
  CAF_CHECK(calls[0].turn == x.turn);
  CAF_REQUIRE_EQUAL(calls[0].ask.messages.size(), 2u);
  CAF_CHECK_EQUAL(calls[0].ask.messages[0].role, "assistant");
  CAF_CHECK_EQUAL(calls[0].ask.messages[1].role, "user");
  CAF_CHECK(asks(calls[0], "Why do rivers meander"));
  CAF_CHECK_EQUAL(calls[0].ask.prefix, "");
  CAF_CHECK_EQUAL(shown(), "turn");
}

CAF_TEST(chunks are shown in order and only when they are committed) {
  say();
  speak(calls[0], {"A", "B"});
  CAF_CHECK_EQUAL(shown(), "turn");
  commit(1);
  CAF_CHECK_EQUAL(shown(), "turn 0:A");
  speak(calls[0], {"C"});
  CAF_CHECK_EQUAL(shown(), "turn 0:A");
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B 2:C");
  finish(calls[0]);
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B 2:C complete:stop");
  const auto last = events().back();
  CAF_CHECK_EQUAL(last->place().index, 3);
  CAF_CHECK_EQUAL(last->end->text, "ABC");
  CAF_CHECK_EQUAL(last->end->tokens_used, 7);
  CAF_CHECK_EQUAL(*store.turns[0].end[3], "ABC");
  CAF_CHECK_EQUAL(*store.turns[0].end[4], "{1,2,3}");
  CAF_CHECK_EQUAL(ended, std::vector<std::string>{"completed 7"});
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(a turn ends when its last chunk is committed and not before) {
  say();
  speak(calls[0], {"A"});
  finish(calls[0]);
  CAF_CHECK_EQUAL(db->count("end"), 0u);
  commit();
  CAF_CHECK_EQUAL(db->count("end"), 1u);
  CAF_CHECK_EQUAL(shown(), "turn 0:A complete:stop");
}

CAF_TEST(with memory durability chunks are shown at once and the end waits for their commit) {
  services->show_at_once = true;
  say();
  speak(calls[0], {"A", "B"});
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B");
  finish(calls[0]);
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B");
  CAF_CHECK_EQUAL(db->count("end"), 0u);
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B complete:stop");
}

CAF_TEST(no more than 64 chunks are outstanding and credit comes back with their commit) {
  say();
  auto& x = calls[0];
  CAF_CHECK_EQUAL(*x.credit, 64u);
  speak(x, many(31));
  commit();
  CAF_CHECK_EQUAL(*x.credit, 64u);  // more than half is left
  speak(x, many(1));
  CAF_CHECK_EQUAL(*x.credit, 64u);
  commit();
  CAF_CHECK_EQUAL(*x.credit, 64u + 32u);
  speak(x, many(64));
  CAF_CHECK_EQUAL(*x.credit, 64u + 32u);
  commit(63);
  CAF_CHECK_EQUAL(*x.credit, 64u + 32u);
  commit();
  CAF_CHECK_EQUAL(*x.credit, 64u + 32u + 64u);
}

CAF_TEST(credit is not given for chunks that came behind the commit) {
  say();
  auto& x = calls[0];
  speak(x, many(32));
  const auto taken = log->take(1000);
  CAF_CHECK(log->committed(taken.take, true) == ses.address());
  speak(x, many(10));  // before the news of the commit arrives
  tell(runtime::log_committed{});
  CAF_CHECK_EQUAL(*x.credit, 64u);
  const auto rest = log->take(1000);
  CAF_CHECK(log->committed(rest.take, true) == ses.address());
  tell(runtime::log_committed{});
  CAF_CHECK_EQUAL(*x.credit, 64u + 42u);
}

CAF_TEST(while the log of the node is full a turn has a credit of one) {
  auto full = logs.open(session_entity(tenant, session_id{uuid::random()}));
  full->append_chunk(
      make_chunk_event(turn_id{}, 1, 0, std::string(limits::log_uncommitted_bytes, 'x')), false, 0);
  full->append_chunk(make_chunk_event(turn_id{}, 1, 1, "x"), false, 0);
  say();
  auto& x = calls[0];
  CAF_CHECK_EQUAL(*x.credit, 1u);
  speak(x, many(1));
  CAF_CHECK_EQUAL(*x.credit, 1u);
  commit();
  CAF_CHECK_EQUAL(*x.credit, 2u);
  full.reset();
  speak(x, many(1));
  commit();
  CAF_CHECK_EQUAL(*x.credit, 2u + 64u);
}

CAF_TEST(messages wait behind a running turn and run in their order) {
  say(message("Why is the first question the longest?"));
  const auto second = say(message("Why is the second question shorter?"));
  say(message("Why is the third question the last?"));
  CAF_CHECK_EQUAL(calls.size(), 1u);
  finish(calls[0]);
  CAF_REQUIRE_EQUAL(calls.size(), 2u);
  CAF_CHECK(asks(calls[1], "second"));
  CAF_CHECK(calls[1].turn == second.turn);
  CAF_CHECK_EQUAL(calls[1].epoch, 2u);
  speak(calls[0], {"late"});  // of the turn that has ended
  commit();
  finish(calls[1]);
  CAF_REQUIRE_EQUAL(calls.size(), 3u);
  CAF_CHECK(asks(calls[2], "third"));
  finish(calls[2]);
  CAF_CHECK_EQUAL(shown(), "turn complete:stop turn complete:stop turn complete:stop");
}

CAF_TEST(messages that come at once are stored one after the other) {
  db->hold("begin");
  const auto first = ask<accepted>(message("Why is the first question the longest?"));
  const auto second = ask<accepted>(message("Why is the second question shorter?"));
  CAF_CHECK_EQUAL(db->waiting("begin"), 1u);
  release("begin");
  CAF_REQUIRE(first->has_value() && second->has_value());
  CAF_CHECK_EQUAL(store.turns[0].id, (*first)->value.turn.text());
  CAF_CHECK_EQUAL(store.turns[1].status, "queued");
}

CAF_TEST(the ninth waiting message is refused) {
  for (int i = 0; i < 9; ++i)
    say();
  const auto no = refused(message());
  CAF_CHECK_EQUAL(no.status, 429);
  CAF_CHECK_EQUAL(no.code, "session_busy");
  CAF_CHECK_EQUAL(no.retry_after_seconds, 1u);
  finish(calls[0]);
  say();
}

CAF_TEST(a message that does not wait is refused while a turn runs) {
  const auto reject = message("Why do rivers bend?", when_busy::reject);
  say(reject);
  CAF_CHECK_EQUAL(refused(reject).status, 409);
  CAF_CHECK_EQUAL(*calls[0].credit, 64u);
  finish(calls[0]);
  say(reject);
}

CAF_TEST(a message that interrupts ends the running turn with what it said) {
  say();
  speak(calls[0], {"A"});
  commit();
  say(message("Why not something else?", when_busy::interrupt));
  CAF_CHECK_EQUAL(shown(), "turn 0:A complete:canceled turn");
  CAF_REQUIRE_EQUAL(calls.size(), 2u);
  CAF_CHECK(asks(calls[1], "something else"));
  CAF_CHECK_EQUAL(*store.turns[0].end[3], "A");
}

CAF_TEST(a message that interrupts and is refused interrupts nothing) {
  for (int i = 0; i < 9; ++i)
    say();
  CAF_CHECK_EQUAL(refused(message("Why?", when_busy::interrupt)).status, 429);
  CAF_CHECK_EQUAL(shown(), "turn");
}

CAF_TEST(a repeated request joins its turn and does not interrupt it) {
  auto x = message("Why is it asked twice?", when_busy::interrupt);
  x.idempotency_key = "k";
  x.request_hash = "h";
  const auto first = say(x);
  const auto again = say(x);
  CAF_CHECK(again.joined);
  CAF_CHECK(again.turn == first.turn);
  CAF_CHECK_EQUAL(shown(), "turn");
  CAF_CHECK_EQUAL(permits->taken(), 1u);
}

CAF_TEST(canceling ends the running turn and is answered when that is stored) {
  const auto turn = say().turn;
  speak(calls[0], {"A", "B"});
  const auto out = ask<canceled>(cancel_turn{});
  CAF_CHECK(!out->has_value());
  commit();
  CAF_REQUIRE(out->has_value());
  CAF_CHECK((*out)->value.turn == turn);
  CAF_CHECK_EQUAL(shown(), "turn 0:A 1:B complete:canceled");
  CAF_CHECK_EQUAL(store.turns[0].status, "canceled");
  CAF_CHECK_EQUAL(*store.turns[0].end[6], "2");
  CAF_CHECK(calls[0].ask.messages.size() == 2u);
  CAF_CHECK(std::stoul(*store.turns[0].end[5]) > 0u);  // the prompt is charged
  speak(calls[0], {"late"});
  CAF_CHECK(!commit());
}

CAF_TEST(a waiting turn that is canceled ends without a model call when its time comes) {
  say();
  const auto second = say().turn;
  const auto out = ask<canceled>(cancel_turn{second});
  CAF_REQUIRE(out->has_value());
  CAF_CHECK((*out)->value.turn == second);
  finish(calls[0]);
  CAF_CHECK_EQUAL(calls.size(), 1u);
  CAF_CHECK_EQUAL(shown(), "turn complete:stop turn complete:canceled");
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(there is nothing to cancel when nothing runs or another turn or one that is ending) {
  const auto nothing = [&](cancel_turn x) {
    const auto out = ask<canceled>(x);
    return out->has_value() && (*out)->ok() && (*out)->value.turn.value.is_nil();
  };
  CAF_CHECK(nothing({}));
  say();
  CAF_CHECK(nothing({turn_id{uuid::random()}}));
  speak(calls[0], {"A"});
  finish(calls[0]);
  CAF_CHECK(nothing({}));
  commit();
  CAF_CHECK_EQUAL(shown(), "turn 0:A complete:stop");
}

CAF_TEST(a session that answers holds one permit however many messages wait) {
  permits->set_limit(1);
  say();
  say();
  CAF_CHECK_EQUAL(permits->taken(), 1u);
  finish(calls[0]);
  CAF_CHECK_EQUAL(permits->taken(), 1u);
  finish(calls[1]);
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(a session of a tenant whose others answer as many as they may is refused until one ends) {
  permits->set_limit(1);
  auto other = runtime::permits::take(permits);
  const auto no = refused(message());
  CAF_CHECK_EQUAL(no.status, 429);
  CAF_CHECK_EQUAL(no.code, "concurrency");
  CAF_CHECK_EQUAL(db->count("begin"), 0u);
  other.reset();
  say();
}

CAF_TEST(a message that is refused leaves no permit behind) {
  store.status = "closed";
  CAF_CHECK_EQUAL(refused(message()).status, 409);
  CAF_CHECK_EQUAL(permits->taken(), 0u);
  db->fail("begin", kind::unavailable);
  CAF_CHECK_EQUAL(refused(message()).status, 503);
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(a greeting is answered from a template without the model) {
  say(message("hello"));
  CAF_CHECK(calls.empty());
  CAF_CHECK_EQUAL(shown(), "turn");
  commit();
  const auto all = events();
  CAF_REQUIRE_EQUAL(all.size(), 3u);
  CAF_CHECK(!all[1]->text.empty());
  CAF_CHECK(all[2]->kind() == event_kind::complete);
  CAF_CHECK_EQUAL(all[2]->end->tokens_used, 0);
  CAF_CHECK_EQUAL(ended, std::vector<std::string>{"completed 0"});
}

CAF_TEST(a whisper is answered without the model and costs fifty tokens) {
  auto x = message();
  x.budget = "whisper";
  say(x);
  CAF_CHECK(calls.empty());
  commit();
  CAF_CHECK_EQUAL(ended, std::vector<std::string>{"completed 50"});
}

CAF_TEST(a model call that is lost ends its turn with an error) {
  say();
  speak(calls[0], {"A"});
  commit();
  caf::anon_send_exit(calls[0].worker, caf::exit_reason::kill);
  consume_messages();
  CAF_CHECK_EQUAL(shown(), "turn 0:A error:internal");
  CAF_CHECK_EQUAL(store.turns[0].status, "failed");
  CAF_CHECK_EQUAL(events().back()->place().index, 1);
  say();
  CAF_CHECK_EQUAL(calls.size(), 2u);
}

CAF_TEST(an error of the provider is the last event) {
  say();
  turn_finished last;
  last.turn = calls[0].turn;
  last.epoch = calls[0].epoch;
  last.error_type = "provider_timeout";
  last.error = "The provider did not answer in time.";
  tell(last);
  CAF_CHECK_EQUAL(shown(), "turn error:provider_timeout");
  CAF_CHECK_EQUAL(*store.turns[0].end[9], "The provider did not answer in time.");
  CAF_CHECK_EQUAL(ended, std::vector<std::string>{"failed 0"});
}

CAF_TEST(a NUL that the model says becomes a replacement character) {
  say();
  speak(calls[0], {std::string("a\0b\0", 4)});
  commit();
  CAF_CHECK_EQUAL(shown(),
                  "turn 0:a\xEF\xBF\xBD"
                  "b\xEF\xBF\xBD");
}

CAF_TEST(chunks that PostgreSQL refuses end the turn with what is durable) {
  say();
  speak(calls[0], {"A"});
  commit();
  speak(calls[0], {"B", "C"});
  log->failed(log->take(1000).take);
  tell(runtime::log_refused{calls[0].turn, calls[0].epoch, false});
  CAF_CHECK_EQUAL(shown(), "turn 0:A error:internal");
  CAF_CHECK_EQUAL(events().back()->place().index, 1);
  CAF_CHECK_EQUAL(events().back()->end->text, "A");
  say();
  speak(calls[1], {"D"});
  commit();
  CAF_CHECK_EQUAL(shown(3), "turn 0:D");
}

CAF_TEST(a closed session takes no message but answers a repeated one) {
  auto x = message();
  x.idempotency_key = "k";
  say(x);
  finish(calls[0]);
  const auto view = ask<session_view>(update_session{false, false, "", "closed"});
  CAF_REQUIRE(view->has_value());
  CAF_CHECK_EQUAL((*view)->value.status, "closed");
  CAF_CHECK_EQUAL(refused(message()).status, 409);
  CAF_CHECK_EQUAL(refused(message()).code, "session_closed");
  CAF_CHECK(say(x).joined);
}

CAF_TEST(a title is set and taken away) {
  auto view = ask<session_view>(update_session{true, true, "Rivers", ""});
  CAF_CHECK_EQUAL((*view)->value.title, "Rivers");
  view = ask<session_view>(update_session{true, false, "", ""});
  CAF_CHECK(!(*view)->value.has_title);
  view = ask<session_view>(get_session{});
  CAF_CHECK((*view)->value.id == key);
  CAF_CHECK_EQUAL((*view)->value.status, "active");
}

CAF_TEST(a message that the budget of the month does not hold is refused in its words) {
  store.refuses = "exhausted";
  const auto out = refused(message());
  CAF_CHECK_EQUAL(out.status, 429);
  CAF_CHECK_EQUAL(out.code, "quota_exceeded");
  CAF_CHECK_EQUAL(out.detail,
                  "Monthly token quota exceeded. 1000 tokens per month allowed, 900 used.");
  store.refuses = "oversized";
  CAF_CHECK_EQUAL(refused(message()).status, 413);
  store.refuses = "crowded";
  CAF_CHECK_EQUAL(refused(message()).code, "concurrency");
  CAF_CHECK(calls.empty());
  CAF_CHECK_EQUAL(permits->taken(), 0u);
}

CAF_TEST(a turn is made to fit into the tokens that are held back for it) {
  say();
  finish(calls[0]);
  CAF_CHECK_EQUAL(calls[0].ask.max_tokens, 4'000u);
  CAF_CHECK_EQUAL(calls[0].ask.messages.size(), 2u);
  const auto whole = prompt_tokens(calls[0].ask);
  store.most_tokens = std::to_string(whole + 600);
  say();
  CAF_CHECK_EQUAL(calls[1].ask.messages.size(), 2u);
  CAF_CHECK_EQUAL(calls[1].ask.max_tokens, 600u);
  finish(calls[1]);
  store.most_tokens = std::to_string(whole + 100);  // not with what was said before
  say();
  CAF_CHECK_EQUAL(calls[2].ask.messages.size(), 1u);
  CAF_CHECK_EQUAL(prompt_tokens(calls[2].ask) + calls[2].ask.max_tokens, whole + 100);
}

CAF_TEST(a turn that is taken over keeps to what is held back for it) {
  store.most_tokens = "1000";
  say();
  crash();
  activate();
  CAF_REQUIRE_EQUAL(calls.size(), 2u);
  CAF_CHECK(prompt_tokens(calls[1].ask) + calls[1].ask.max_tokens <= 1000);
}

CAF_TEST_FIXTURE_SCOPE_END()
