#define CAF_SUITE port_remote

#include <caf/event_based_actor.hpp>
#include <deque>

#include "runtime/port.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;
using cluster::remote_outcome;
using kind = cluster::route::kind;

namespace {

using view = answer<session_view>;

/// Answers with the order in which it was asked; silent, it keeps its promises.
struct scripted_entity : caf::event_based_actor {
  struct script {
    std::vector<std::string> heard;
    bool silent = false;
  };

  scripted_entity(caf::actor_config& config, script& s)
      : caf::event_based_actor(config), script_{s} {}

  caf::behavior make_behavior() override {
    return {[this](const get_session&) { return hear("get"); },
            [this](const update_session& x) { return hear(x.title); },
            [this](const remove_session&) { return hear("remove"); }};
  }

  caf::result<view> hear(std::string what) {
    script_.heard.push_back(what);
    auto out = make_response_promise<view>();
    if (!script_.silent) {
      session_view x;
      x.title = what + " here";
      out.deliver(view{x});
    }
    return out;
  }

  script& script_;
};

/// The other nodes: remembers what they are asked until the test answers.
struct scripted_remote : cluster::remote {
  struct question {
    node_id owner;
    entity_id to;
    uint8_t tag;
    std::string body;
    uint8_t forwards;
    clock::time_point deadline;
    std::function<void(remote_outcome, std::string)> done;
  };
  struct place {
    node_id owner;
    attach_reader how;
    std::function<void(remote_outcome, answer<attached>)> done;
  };

  void ask(node_id owner, const entity_id& to, uint8_t tag, std::string body, uint8_t forwards,
           clock::time_point deadline,
           std::function<void(remote_outcome, std::string)> done) override {
    asked.push_back({owner, to, tag, std::move(body), forwards, deadline, std::move(done)});
  }
  void attach(node_id owner, const entity_id&, const attach_reader& how, clock::time_point,
              std::function<void(remote_outcome, answer<attached>)> done) override {
    placed.push_back({owner, how, std::move(done)});
  }

  std::deque<question> asked;
  std::deque<place> placed;
};

/// The I/O thread is never started: the test runs what is posted to it.
struct fixture : test_coordinator_fixture<> {
  io_thread thread{0, "io"};
  io_unit unit{sys, thread};
  cluster::routes where;
  region entities{{100, 100},
                  {[](entity_kind, int) {}, [](const entity_id&, const caf::error&) {},
                   [this](const entity_id& x) { here->entity_lost(x, true); }},
                  where};
  scripted_remote others;
  scripted_entity::script entity;
  caf::actor handle;
  port* here = nullptr;
  const entity_id id = session_entity(tenant_id{uuid::random()}, session_id{uuid::random()});
  std::vector<view> answers;

  fixture() {
    entities.serve(entity_kind::session, [this](const entity_id&, lease_epoch) -> caf::actor {
      return sys.spawn<scripted_entity>(entity);
    });
    open(10s);
  }

  ~fixture() override {
    entities.stop();
    close();
  }

  void open(std::chrono::milliseconds deadline) {
    handle = sys.spawn<port>(&unit, entities, &others, deadline);
    here = caf::actor_cast<port*>(handle);
    settle();
  }

  void close() {
    others.asked.clear();
    others.placed.clear();
    caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
    settle();
  }

  void settle() {
    while (thread.context().poll() + consume_messages() > 0) {
    }
  }

  void run_until(const std::function<bool()>& done) {
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    while (!done() && std::chrono::steady_clock::now() < give_up) {
      thread.context().run_one_for(1s);
      settle();
    }
    CAF_REQUIRE(done());
  }

  void route(kind what, uint64_t owner = 0, lease_epoch epoch = 1) {
    where.set(shard_of(id), {what, node_id{owner}, epoch});
  }

  void moved(kind what, uint64_t owner = 0, lease_epoch epoch = 1) {
    route(what, owner, epoch);
    here->routes_changed();
    settle();
  }

  template <class Message>
  void ask(Message message, uint8_t forwards = port::from_here) {
    boost::asio::post(thread.context(), [this, message, forwards] {
      here->ask<session_view>(
          id, message, [this](view x) { answers.push_back(std::move(x)); }, forwards);
    });
    settle();
  }

  static update_session named(std::string title) { return {true, true, std::move(title), ""}; }

  void reply(size_t i, remote_outcome how, view x = {}) {
    others.asked.at(i).done(how, how == remote_outcome::answered ? cluster::encode(x) : "");
    settle();
  }

  void ask_places(size_t count, size_t& found) {
    boost::asio::post(thread.context(), [this, count, &found] {
      for (size_t i = 0; i < count; ++i)
        here->ask<attached>(id, attach_reader{}, [&found](const answer<attached>&) { ++found; });
    });
    settle();
  }

  static view titled(std::string title) {
    session_view out;
    out.title = std::move(title);
    return view{out};
  }

  /// The title that the last answer has, or the code of its refusal.
  std::string last() {
    CAF_REQUIRE(!answers.empty());
    const auto& x = answers.back();
    return x.ok() ? x.value.title : std::to_string(x.wrong.status) + " " + x.wrong.code;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(port_remote_tests, fixture)

CAF_TEST(a session of another node is asked there and its answer comes back) {
  route(kind::there, 2);
  ask(named("a"));
  CAF_REQUIRE_EQUAL(others.asked.size(), 1u);
  const auto& x = others.asked[0];
  CAF_CHECK(x.owner == node_id{2});
  CAF_CHECK(x.to == id);
  CAF_CHECK_EQUAL(x.tag, cluster::wire_tag<update_session>::value);
  CAF_CHECK_EQUAL(x.body, cluster::encode(named("a")));
  CAF_CHECK_EQUAL(x.forwards, port::from_here - 1);
  CAF_CHECK(x.deadline > std::chrono::steady_clock::now());
  CAF_CHECK(answers.empty());
  reply(0, remote_outcome::answered, titled("there"));
  CAF_CHECK_EQUAL(last(), "there");
  CAF_CHECK_EQUAL(here->waiting(), 0u);
  reply(0, remote_outcome::answered, titled("again"));
  CAF_CHECK_EQUAL(answers.size(), 1u);
  CAF_CHECK(entity.heard.empty());
}

CAF_TEST(the refusal of a session on another node is passed on) {
  route(kind::there, 2);
  ask(get_session{});
  reply(0, remote_outcome::answered, refusal{409, "Session is closed", 0, "session_closed"});
  CAF_CHECK_EQUAL(last(), "409 session_closed");
}

CAF_TEST(an answer that makes no sense is a refusal) {
  route(kind::there, 2);
  ask(get_session{});
  others.asked[0].done(remote_outcome::answered, "\x01");
  settle();
  CAF_CHECK_EQUAL(last(), "503 unavailable");
}

CAF_TEST(what is asked in transit waits and arrives in order at this node) {
  route(kind::wait);
  for (const auto* x : {"a", "b", "c"})
    ask(named(x));
  CAF_CHECK(answers.empty());
  CAF_CHECK_EQUAL(here->parked(), 3u);
  here->routes_changed();  // of others
  settle();
  CAF_CHECK_EQUAL(here->parked(), 3u);
  route(kind::here);
  ask(named("d"));  // before the port has heard of the change
  CAF_CHECK(entity.heard.empty());
  here->routes_changed();
  settle();
  CAF_CHECK_EQUAL(entity.heard, std::vector<std::string>({"a", "b", "c", "d"}));
  CAF_CHECK_EQUAL(answers.size(), 4u);
  CAF_CHECK_EQUAL(here->parked(), 0u);
}

CAF_TEST(what is asked in transit goes in order to the new owner) {
  route(kind::wait);
  ask(named("a"));
  ask(named("b"));
  moved(kind::there, 3);
  CAF_REQUIRE_EQUAL(others.asked.size(), 2u);
  CAF_CHECK(others.asked[0].owner == node_id{3});
  CAF_CHECK_EQUAL(others.asked[0].body, cluster::encode(named("a")));
  CAF_CHECK_EQUAL(others.asked[1].body, cluster::encode(named("b")));
}

CAF_TEST(what waits for its shard looks again although nobody tells it of a change) {
  route(kind::wait);
  ask(get_session{});
  route(kind::here);
  run_until([this] { return !answers.empty(); });
  CAF_CHECK_EQUAL(last(), "get here");
}

CAF_TEST(a node that does not hold the shard is not asked again before the routes say more) {
  route(kind::there, 2);
  ask(remove_session{});
  reply(0, remote_outcome::not_here);
  CAF_CHECK(answers.empty());
  CAF_CHECK_EQUAL(here->parked(), 1u);
  moved(kind::there, 3);
  CAF_REQUIRE_EQUAL(others.asked.size(), 2u);
  CAF_CHECK(others.asked[1].owner == node_id{3});
  reply(1, remote_outcome::answered, titled("there"));
  CAF_CHECK_EQUAL(last(), "there");
}

CAF_TEST(a refusal that says that the session is not there counts as not asked) {
  route(kind::there, 2);
  ask(remove_session{});
  reply(0, remote_outcome::answered, refusal{port::status_not_here, "elsewhere", 0, "not_here"});
  CAF_CHECK(answers.empty());
  moved(kind::here);
  CAF_CHECK_EQUAL(last(), "remove here");
}

CAF_TEST(what may be repeated is asked again when its owner was lost) {
  route(kind::there, 2);
  ask(named("a"));
  reply(0, remote_outcome::lost);
  CAF_CHECK(answers.empty());
  moved(kind::there, 3, 2);
  CAF_REQUIRE_EQUAL(others.asked.size(), 2u);
  CAF_CHECK_EQUAL(others.asked[1].body, cluster::encode(named("a")));
  reply(0, remote_outcome::answered, titled("too late"));
  reply(1, remote_outcome::answered, titled("there"));
  CAF_CHECK(!answers.empty());
  CAF_CHECK_EQUAL(answers.size(), 1u);
}

CAF_TEST(what may not be repeated is told that nobody knows) {
  route(kind::there, 2);
  ask(remove_session{});
  reply(0, remote_outcome::lost);
  CAF_CHECK_EQUAL(last(), "503 restarted");
  CAF_CHECK_EQUAL(here->waiting(), 0u);
}

CAF_TEST(a message or a cancellation may be repeated when it names its turn) {
  send_message x;
  CAF_CHECK(!cluster::is_repeatable(x));
  x.turn = turn_id{uuid::random()};
  CAF_CHECK(cluster::is_repeatable(x));
  CAF_CHECK(cluster::is_repeatable(cancel_turn{turn_id{uuid::random()}}));
  CAF_CHECK(!cluster::is_repeatable(cancel_turn{}));  // another turn may run by then
  CAF_CHECK(!cluster::is_repeatable(remove_session{}));
}

CAF_TEST(a request of another node is passed on once and then refused) {
  route(kind::there, 3);
  ask(get_session{}, 1);
  CAF_REQUIRE_EQUAL(others.asked.size(), 1u);
  CAF_CHECK_EQUAL(others.asked[0].forwards, 0);
  ask(get_session{}, 0);
  CAF_CHECK_EQUAL(others.asked.size(), 1u);
  CAF_CHECK_EQUAL(last(), "421 not_here");
  reply(0, remote_outcome::not_here);
  CAF_REQUIRE_EQUAL(answers.size(), 2u);
  CAF_CHECK_EQUAL(last(), "421 not_here");
  CAF_CHECK_EQUAL(here->waiting(), 0u);
}

CAF_TEST(a request of another node waits for a shard in transit too) {
  route(kind::wait);
  ask(get_session{}, 0);
  CAF_CHECK(answers.empty());
  moved(kind::here);
  CAF_CHECK_EQUAL(last(), "get here");
}

CAF_TEST(a shard that stays in transit is a refusal at the deadline) {
  close();
  open(20ms);
  route(kind::wait);
  ask(get_session{});
  ask(remove_session{});
  run_until([this] { return answers.size() == 2; });
  CAF_CHECK_EQUAL(last(), "503 moving");
  CAF_CHECK_EQUAL(answers[0].wrong.retry_after_seconds, 1u);
  CAF_CHECK_EQUAL(here->waiting(), 0u);
  CAF_CHECK_EQUAL(here->parked(), 0u);
  moved(kind::here);
  CAF_CHECK(entity.heard.empty());
}

CAF_TEST(another node that does not answer is a timeout and its late answer is dropped) {
  close();
  open(20ms);
  route(kind::there, 2);
  ask(get_session{});
  run_until([this] { return !answers.empty(); });
  CAF_CHECK_EQUAL(last(), "504 timeout");
  reply(0, remote_outcome::answered, titled("late"));
  reply(0, remote_outcome::lost);
  CAF_CHECK_EQUAL(answers.size(), 1u);
  CAF_CHECK_EQUAL(here->parked(), 0u);
}

CAF_TEST(questions of an entity whose shard moved away follow it) {
  entity.silent = true;
  ask(named("a"));
  ask(remove_session{});
  route(kind::there, 3, 2);
  entities.drop({shard_of(id)});
  settle();
  // The one may have been done, and its second answer would be another.
  CAF_REQUIRE_EQUAL(answers.size(), 1u);
  CAF_CHECK_EQUAL(last(), "503 restarted");
  moved(kind::there, 3, 2);
  CAF_REQUIRE_EQUAL(others.asked.size(), 1u);
  CAF_CHECK_EQUAL(others.asked[0].body, cluster::encode(named("a")));
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST(questions of an entity that is told to be lost follow its shard) {
  entity.silent = true;
  ask(named("a"));
  route(kind::wait, 0, 2);
  here->entity_lost(id, true);
  settle();
  CAF_CHECK(answers.empty());
  CAF_CHECK_EQUAL(here->parked(), 1u);
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
  here->entity_lost(id, false);  // what is parked waits for no entity
  settle();
  CAF_CHECK(answers.empty());
  entity.silent = false;
  moved(kind::here, 0, 3);
  CAF_CHECK_EQUAL(last(), "a here");
}

CAF_TEST(a reader of a session on another node is placed in the mirror) {
  route(kind::there, 2);
  std::vector<answer<attached>> found;
  attach_reader how;
  how.live = false;
  how.place = {turn_id{uuid::random()}, 1, 2};
  const auto ask_place = [&](uint8_t forwards) {
    boost::asio::post(thread.context(), [&, forwards] {
      here->ask<attached>(
          id, how, [&](answer<attached> x) { found.push_back(std::move(x)); }, forwards);
    });
    settle();
  };
  ask_place(0);  // a feed's: its node must have the session
  CAF_REQUIRE_EQUAL(found.size(), 1u);
  CAF_CHECK_EQUAL(found[0].wrong.status, port::status_not_here);
  ask_place(port::from_here);
  CAF_CHECK(others.asked.empty());
  CAF_REQUIRE_EQUAL(others.placed.size(), 1u);
  CAF_CHECK(others.placed[0].owner == node_id{2});
  CAF_CHECK(others.placed[0].how.place == how.place);
  attached at;
  at.position = 42;
  others.placed[0].done(remote_outcome::answered, at);
  settle();
  CAF_REQUIRE_EQUAL(found.size(), 2u);
  CAF_CHECK(found[1].ok());
  CAF_CHECK_EQUAL(found[1].value.position, 42u);
}

CAF_TEST(readers look for their places a few at a time and none is forgotten) {
  route(kind::there, 2);
  size_t found = 0;
  const auto many = 3 * limits::attaching;
  ask_places(many, found);
  CAF_CHECK_EQUAL(others.placed.size(), limits::attaching);
  ask(get_session{});  // goes in front of them
  CAF_CHECK_EQUAL(others.asked.size(), 1u);
  for (size_t i = 0; i < others.placed.size(); ++i) {
    others.placed[i].done(remote_outcome::answered, attached{});
    settle();
    CAF_CHECK_EQUAL(found, i + 1);
    CAF_CHECK(others.placed.size() <= found + limits::attaching);
  }
  CAF_CHECK_EQUAL(found, many);
}

CAF_TEST(readers that are refused one after the other do not pile up on the stack) {
  route(kind::there, 2);
  size_t found = 0;
  ask_places(15'000, found);
  entities.stop();
  others.placed[0].done(remote_outcome::answered, attached{});
  settle();
  CAF_CHECK_EQUAL(found, 15'000 - limits::attaching + 1);
}

CAF_TEST(without other nodes an owner elsewhere is a refusal) {
  close();
  handle = sys.spawn<port>(&unit, entities, nullptr, 10s);
  here = caf::actor_cast<port*>(handle);
  settle();
  route(kind::there, 2);
  ask(get_session{});
  CAF_CHECK_EQUAL(last(), "421 not_here");
}

CAF_TEST_FIXTURE_SCOPE_END()
