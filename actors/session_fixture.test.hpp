#pragma once

#include <caf/actor_system.hpp>

#include "actors/ask.test.hpp"
#include "actors/scripted_database.test.hpp"
#include "actors/session.hpp"
#include "actors/stored_session.test.hpp"
#include "runtime/gates.hpp"
#include "runtime/limits.hpp"
#include "runtime/log_writer.hpp"

#include <caf/test/dsl.hpp>

/// What the tests of sessions stand on: a store of turns with the rules of kg.begin_turn,
/// claim_turn, end_turn and append_chunks, a model that says what the test says, and a log writer
/// that commits when the test says so.
namespace kgents::actors::test {

inline caf::behavior credit_counter(caf::event_based_actor*, const std::shared_ptr<uint32_t>& out) {
  return {[out](const turn_credit& x) { *out += x.chunks; }};
}

struct session_fixture : test_coordinator_fixture<> {
  /// A model call that the session has started.
  struct call {
    llm::prompt ask;
    turn_id turn;
    lease_epoch epoch = 0;
    caf::actor session;
    caf::actor worker;
    std::shared_ptr<uint32_t> credit = std::make_shared<uint32_t>(0);
  };

  const tenant_id tenant{uuid::random()};
  const session_id key{uuid::random()};
  const entity_id id = session_entity(tenant, key);
  stored_session store{key.text(), tenant.text(), true, "active", std::nullopt, {}, {}};
  std::shared_ptr<script> db = std::make_shared<script>();
  caf::actor database;
  runtime::session_logs logs;
  runtime::log_ptr log;
  std::shared_ptr<session_services> services = std::make_shared<session_services>();
  std::shared_ptr<runtime::permits> permits = std::make_shared<runtime::permits>(100u);
  std::deque<call> calls;  // stay where they are
  std::vector<std::string> ended;
  std::vector<caf::actor> all;
  bool may_retire = true;
  int retired = 0;
  int advanced = 0;
  caf::actor ses;

  session_fixture() {
    const auto on = [this](const char* name, const char* fragment, auto how) {
      db->on(name, fragment, [how](const sql::transaction& work) -> sql::outcome {
        return how(work.statements.front().params);
      });
    };
    using cells = const std::vector<cell>&;
    on("load", "kg.session_state($1)",
       [this](cells) { return one_result(12, store.row_with_last_ended()); });
    on("unfinished", "kg.turns_to_take_up($1)", [this](cells) { return store.unfinished(); });
    on("begin", "kg.begin_turn", [this](cells p) { return store.begin(p); });
    on("claim", "kg.claim_turn", [this](cells p) { return store.claim(*p[0]); });
    on("end", "kg.end_turn", [this](cells p) { return store.end(p); });
    on("history", "ORDER BY turn, seq", [](cells) {
      return one_result(3, {{uuid::random().text(), "assistant", "What I said before."}});
    });
    on("remove", "SET status = 'closed'", [this](cells) {
      const bool there = std::exchange(store.exists, false);
      return there ? one_result(1, {{"1"}}) : one_result(1, {});
    });
    on("update", "UPDATE kg.sessions SET title", [this](cells p) {
      if (*p[1] == "t")
        store.title = p[2];
      store.status = p[3].value_or(store.status);
      return one_result(9, store.row());
    });
    on("get", "WHERE t.id = $2 AND t.session_id = $1",
       [this](cells p) { return store.get(*p[1]); });
    on("replay", "t.seq > $2", [this](cells p) { return store.replay(std::stoul(*p[1])); });
    on("locate", "SELECT seq, status FROM kg.turns",
       [this](cells p) { return store.locate(*p[1]); });
    database = sys.spawn<scripted_database>(db);

    services->database = database;
    services->logs = &logs;
    services->appended = [](const runtime::log_ptr&) {};
    services->advanced = [this](const runtime::log_ptr&) { ++advanced; };
    services->start_turn = [this](llm::prompt ask, turn_id turn, lease_epoch epoch,
                                  caf::actor session) {
      auto& x = calls.emplace_back();
      x.ask = std::move(ask);
      x.turn = turn;
      x.epoch = epoch;
      x.session = std::move(session);
      x.worker = sys.spawn(credit_counter, x.credit);
      all.push_back(x.worker);
      return x.worker;
    };
    services->retire = [this](const entity_id& which, const caf::actor_addr& who) {
      CAF_CHECK(which == id);
      CAF_CHECK(who == ses.address());
      retired += may_retire ? 1 : 0;
      return may_retire;
    };
    services->turn_permit = [this](tenant_id who, std::string_view) {
      CAF_CHECK(who == tenant);
      return runtime::permits::take(permits);
    };
    services->turn_ended = [this](tenant_id, api_key_id, std::string_view status, uint64_t tokens) {
      ended.push_back(std::string{status} + " " + std::to_string(tokens));
    };
    log = logs.open(id);
  }

  ~session_fixture() override {
    all.push_back(database);
    for (auto& x : all)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    consume_messages();
    db->clear();
  }

  /// As the region does with the first message.
  void activate() {
    ses = sys.spawn<session>(id, services);
    all.push_back(ses);
    consume_messages();
  }

  /// The actor goes without a word, as at a crash.
  void crash() {
    caf::anon_send_exit(ses, caf::exit_reason::kill);
    consume_messages();
    ses = nullptr;
  }

  [[nodiscard]] bool alive() {
    return !caf::actor_cast<caf::monitorable_actor*>(ses)->getf(
        caf::abstract_actor::is_terminated_flag);
  }

  void wait(caf::timespan time) {
    advance_time(time);
    consume_messages();
  }

  void release(std::string name) {
    caf::anon_send(database, release_held{std::move(name)});
    consume_messages();
  }

  template <class T, class Message>
  reply<T> ask(Message message) {
    auto out = std::make_shared<std::optional<answer<T>>>();
    all.push_back(sys.spawn(asker<T, Message>, ses, message, out));
    consume_messages();
    return out;
  }

  /// A message that needs the model.
  static send_message message(std::string text = "Why do rivers meander through a plain?",
                              when_busy busy = when_busy::queue) {
    send_message out;
    out.text = std::move(text);
    out.budget = "dialogue";
    out.if_busy = busy;
    return out;
  }

  accepted say(send_message x = message()) {
    const auto out = ask<accepted>(std::move(x));
    CAF_REQUIRE(out->has_value());
    CAF_REQUIRE_EQUAL((*out)->wrong.detail, "");
    return (*out)->value;
  }

  refusal refused(send_message x) {
    const auto out = ask<accepted>(std::move(x));
    CAF_REQUIRE(out->has_value());
    return (*out)->wrong;
  }

  void speak(const call& x, std::vector<std::string> texts) {
    caf::anon_send(ses, turn_chunks{x.turn, x.epoch, std::move(texts)});
    consume_messages();
  }

  void finish(const call& x, std::string reason = "stop") {
    turn_finished last;
    last.turn = x.turn;
    last.epoch = x.epoch;
    last.finish_reason = std::move(reason);
    last.model = "m";
    last.tokens_in = 3;
    last.tokens_out = 4;
    caf::anon_send(ses, last);
    consume_messages();
  }

  /// One commit of the log writer; true when there was something.
  bool commit(size_t most = 1000) {
    const auto taken = log->take(most);
    if (taken.chunks.empty())
      return false;
    const auto& place = taken.chunks.front()->place();
    auto* turn = store.find(place.turn.text());
    CAF_REQUIRE(turn != nullptr);
    if (turn->epoch != place.epoch || turn->status != "running") {
      log->failed(taken.take);
      tell(runtime::log_refused{place.turn, place.epoch, true});
      return true;
    }
    for (const auto& x : taken.chunks) {
      CAF_CHECK_EQUAL(static_cast<size_t>(x->place().index), turn->chunks.size());
      turn->chunks.push_back(x->text);
    }
    const auto owner = log->committed(taken.take, !services->show_at_once);
    if (owner) {
      CAF_CHECK(owner == ses.address());
      tell(runtime::log_committed{});
    }
    return true;
  }

  void tell(auto message) {
    caf::anon_send(ses, message);
    consume_messages();
  }

  /// Events as one line: `turn 0:text complete`.
  static std::string line(const std::vector<event_ptr>& events) {
    std::string out;
    for (const auto& x : events) {
      out += out.empty() ? "" : " ";
      if (x->kind() == event_kind::chunk)
        out += std::to_string(x->place().index) + ":" + x->text;
      else if (x->kind() == event_kind::error)
        out += "error:" + x->end->error_type;
      else if (x->kind() == event_kind::complete)
        out += "complete:" + x->end->finish_reason;
      else
        out += to_string(x->kind());
    }
    return out;
  }

  std::vector<event_ptr> events(uint64_t position = 0) {
    std::vector<event_ptr> out;
    position = std::max(position, log->at().base);
    CAF_REQUIRE(log->read(position, out, 10'000));
    return out;
  }

  std::string shown(uint64_t position = 0) { return line(events(position)); }

  /// A turn that was answered with these chunks.
  turn_id whole_turn(std::vector<std::string> texts = {"A", "B"}) {
    const auto turn = say().turn;
    speak(calls.back(), std::move(texts));
    finish(calls.back());
    commit();
    return turn;
  }
};

}  // namespace kgents::actors::test
