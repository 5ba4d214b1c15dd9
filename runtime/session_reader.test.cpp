#define CAF_SUITE session_reader

#include "runtime/session_reader.hpp"

#include <caf/event_based_actor.hpp>
#include <deque>

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using runtime::session_reader;

namespace {

/// A session that tells readers what the test says, and otherwise where the live log ends.
struct scripted_session : caf::event_based_actor {
  struct script {
    runtime::log_ptr log;
    std::vector<attach_reader> asked;
    std::deque<answer<runtime::attached>> next;
  };

  scripted_session(caf::actor_config& config, script& s)
      : caf::event_based_actor(config), script_{s} {}

  caf::behavior make_behavior() override {
    return {[this](const attach_reader& x) {
      script_.asked.push_back(x);
      runtime::attached here;
      here.log = script_.log;
      here.position = x.live ? script_.log->at().end
                             : script_.log->behind(x.place).value_or(script_.log->at().base);
      answer<runtime::attached> out{here};
      if (!script_.next.empty()) {
        out = std::move(script_.next.front());
        script_.next.pop_front();
      }
      return out;
    }};
  }

  script& script_;
};

/// No thread runs: the test runs what is posted.
struct fixture : test_coordinator_fixture<> {
  const entity_id id = session_entity(tenant_id{uuid::random()}, session_id{uuid::random()});
  const turn_id first{uuid::random()};
  const turn_id second{uuid::random()};
  runtime::io_threads threads{1};
  runtime::hubs hubs{threads.all()};
  runtime::cluster::routes where;
  runtime::region entities{{100, 100}, {}, where};
  runtime::ports ports{sys, threads.all(), entities};
  runtime::session_logs logs;
  scripted_session::script session;
  std::shared_ptr<session_reader> reader;
  std::vector<int> placed;  // statuses, 0 for a place
  int woken = 0;

  fixture() {
    session.log = logs.open(id);
    entities.serve(entity_kind::session, [this](const entity_id&, lease_epoch) -> caf::actor {
      return sys.spawn<scripted_session>(session);
    });
    settle();
  }

  ~fixture() override {
    reader.reset();
    entities.stop();
    ports.stop();
    settle();
  }

  void settle() {
    while (threads[0].context().poll() + consume_messages() > 0) {
    }
  }

  void run_until(const std::function<bool()>& done) {
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    while (!done() && std::chrono::steady_clock::now() < give_up) {
      threads[0].context().run_one_for(1s);
      settle();
    }
    CAF_REQUIRE(done());
  }

  auto note() {
    return [this](std::optional<refusal> no) { placed.push_back(no ? no->status : 0); };
  }

  void open(session_reader::options how = {}) {
    reader = std::make_shared<session_reader>(hubs[0], ports[0], id, how);
    reader->on_ready = [this] { ++woken; };
    reader->start(note());
    settle();
  }

  session_reader::options behind(turn_id turn, int64_t index, bool one_turn = false) const {
    return {cursor{turn, 1, index}, one_turn};
  }

  void show(event_ptr x) {
    session.log->append_shown(std::move(x), 0);
    hubs.notify(session.log);
    settle();
  }
  event_ptr turn(turn_id x) { return make_turn_event(x, 1, {}, "reflect"); }
  event_ptr chunk(turn_id x, chunk_index i) { return make_chunk_event(x, 1, i, "text"); }
  event_ptr complete(turn_id x, chunk_index n) { return make_complete_event(x, 1, n, {}); }

  void whole_turn(turn_id x) {
    show(turn(x));
    show(chunk(x, 0));
    show(complete(x, 1));
  }

  /// The indices of the events that come, until none does: not even after what the reader asked is
  /// answered.
  std::vector<int64_t> pull(size_t max = 100) {
    std::vector<event_ptr> events;
    for (int quiet = 0; quiet < 2 && events.size() < max;) {
      const auto before = events.size();
      reader->pull(events, max);
      settle();
      quiet = events.size() == before ? quiet + 1 : 0;
    }
    std::vector<int64_t> out;
    for (const auto& x : events)
      out.push_back(x->place().index);
    return out;
  }

  runtime::attached page(std::vector<event_ptr> backlog) {
    runtime::attached out;
    out.log = session.log;
    out.backlog = std::move(backlog);
    return out;
  }
};

using indices = std::vector<int64_t>;

}  // namespace

CAF_TEST_FIXTURE_SCOPE(session_reader_tests, fixture)

CAF_TEST(a live reader is woken by what comes and reads it in order) {
  whole_turn(first);
  open();
  CAF_CHECK_EQUAL(placed, std::vector<int>{0});
  CAF_CHECK(session.asked.at(0).live);
  CAF_CHECK_EQUAL(pull(), indices());
  woken = 0;
  show(turn(second));
  CAF_CHECK_EQUAL(woken, 1);
  CAF_CHECK_EQUAL(pull(), indices({-1}));
  CAF_CHECK(reader->in_turn());
  show(chunk(second, 0));
  show(complete(second, 1));
  CAF_CHECK_EQUAL(pull(), indices({0, 1}));
  CAF_CHECK(!reader->in_turn());
  CAF_CHECK(!reader->ended());
}

CAF_TEST(a refusal at the start is passed on and nothing is followed) {
  session.next.push_back(refusal{404, "Session not found", 0, ""});
  open();
  CAF_CHECK_EQUAL(placed, std::vector<int>{404});
  CAF_CHECK_EQUAL(session.log->hubs.load(), 0u);
}

CAF_TEST(a reader takes no more than it wants at a time) {
  whole_turn(first);
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(2), indices({-1, 0}));
  CAF_CHECK_EQUAL(pull(2), indices({1}));
}

CAF_TEST(behind a backlog the reader asks again from its last event) {
  whole_turn(first);
  session.next.push_back(page({turn(first), chunk(first, 0)}));
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(), indices({-1, 0, 1}));
  CAF_REQUIRE_EQUAL(session.asked.size(), 2u);
  CAF_CHECK(session.asked[1].place == (cursor{first, 1, 0}));
  CAF_CHECK(!session.asked[1].live);
}

CAF_TEST(a reader that the log left behind catches up from its last event) {
  whole_turn(first);
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(1), indices({-1}));
  session.log->drop_before(3);
  session.next.push_back(page({chunk(first, 0), complete(first, 1)}));
  whole_turn(second);
  CAF_CHECK_EQUAL(pull(2), indices({0, 1}));
  CAF_CHECK(session.asked.at(1).place == (cursor{first, 1, -1}));
  CAF_CHECK_EQUAL(pull(), indices({-1, 0, 1}));
}

CAF_TEST(a live reader that has read nothing has a place all the same) {
  open();
  whole_turn(first);
  session.log->drop_before(3);
  session.next.push_back(page({turn(first), chunk(first, 0), complete(first, 1)}));
  CAF_CHECK_EQUAL(pull(3), indices({-1, 0, 1}));
  CAF_CHECK(session.asked.at(1).place == (cursor{first, 1, cursor::before_turn}));
}

CAF_TEST(a live reader that has heard nothing misses no turn when its log begins anew) {
  show(turn(first));
  show(complete(first, 0));
  open();
  session.log->outdate(1);  // the session comes here
  hubs.notify(session.log);
  settle();
  session.next.push_back(refusal{503, "", 1, ""});  // not yet
  std::vector<event_ptr> out;
  reader->pull(out, 10);
  settle();
  CAF_REQUIRE_EQUAL(session.asked.size(), 2u);
  CAF_CHECK(!session.asked[1].live);
  CAF_CHECK(session.asked[1].place == (cursor{first, 1, 0}));
}

CAF_TEST(the reader of one turn hears no other and ends with it) {
  whole_turn(first);
  show(turn(second));
  open(behind(second, cursor::before_turn, true));
  CAF_CHECK(session.asked.at(0).this_turn);
  CAF_CHECK_EQUAL(pull(), indices({-1}));
  show(complete(second, 0));
  whole_turn(first);
  CAF_CHECK_EQUAL(pull(), indices({0}));
  CAF_CHECK(reader->ended());
  CAF_CHECK_EQUAL(pull(), indices());
}

CAF_TEST(a refusal in mid stream is asked again and a removed session ends it) {
  whole_turn(first);
  session.next.push_back(page({turn(first)}));
  session.next.push_back(refusal{503, "away", 1, ""});
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(), indices({-1}));
  CAF_CHECK_EQUAL(session.asked.size(), 2u);
  session.next.push_back(refusal{404, "Session not found", 0, ""});
  woken = 0;
  run_until([this] { return session.asked.size() == 3; });
  CAF_CHECK(reader->ended());
  CAF_CHECK(woken > 0);
  CAF_CHECK_EQUAL(placed, std::vector<int>{0});  // told once
}

CAF_TEST(a reader that resumes goes on from there and when refused where it was) {
  whole_turn(first);
  open();
  reader->move_to({first, 1, -1}, note());
  settle();
  CAF_CHECK_EQUAL(pull(), indices({0, 1}));
  session.next.push_back(refusal{404, "Session not found", 0, ""});
  reader->move_to({second, 1, 0}, note());
  settle();
  CAF_CHECK_EQUAL(placed, std::vector<int>({0, 0, 404}));
  show(turn(second));
  CAF_CHECK_EQUAL(pull(), indices({-1}));
}

CAF_TEST(the answer to a question that was overtaken moves nothing) {
  whole_turn(first);
  whole_turn(second);
  open();
  reader->move_to({first, 1, 0}, note());
  reader->move_to({second, 1, 0}, note());
  settle();
  CAF_CHECK_EQUAL(pull(), indices({1}));
  CAF_CHECK_EQUAL(placed, std::vector<int>({0, 0}));
}

CAF_TEST(a reader that stops follows nothing and hears nothing) {
  open();
  CAF_CHECK_EQUAL(session.log->hubs.load(), 1u);
  reader->move_to({first, 1, 0}, note());
  reader->stop();
  woken = 0;
  whole_turn(first);
  CAF_CHECK_EQUAL(session.log->hubs.load(), 0u);
  CAF_CHECK_EQUAL(pull(), indices());
  CAF_CHECK(reader->ended());
  CAF_CHECK_EQUAL(woken, 0);
}

CAF_TEST(what comes twice is read once) {
  whole_turn(first);
  session.next.push_back(page({turn(first), chunk(first, 0)}));
  session.next.push_back(page({}));  // at the log's beginning, where those are too
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(), indices({-1, 0, 1}));
  CAF_CHECK_EQUAL(session.asked.size(), 2u);
}

CAF_TEST(what is missing in a turn is asked for and never passed over) {
  show(turn(first));
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(), indices({-1}));
  show(chunk(first, 1));
  CAF_CHECK_EQUAL(pull(), indices());
  session.next.push_back(page({chunk(first, 0), chunk(first, 1)}));
  run_until([this] { return session.asked.size() > 1; });
  CAF_CHECK(session.asked[1].place == (cursor{first, 1, cursor::turn_event}));
  CAF_CHECK_EQUAL(pull(), indices({0, 1}));
}

CAF_TEST(the end of a turn that is missing is asked for before the next one is read) {
  show(turn(first));
  open(behind(first, cursor::before_turn));
  CAF_CHECK_EQUAL(pull(), indices({-1}));
  show(turn(second));
  CAF_CHECK_EQUAL(pull(), indices());
  session.next.push_back(page({complete(first, 0), turn(second)}));
  run_until([this] { return session.asked.size() > 1; });
  CAF_CHECK_EQUAL(pull(), indices({0, -1}));
}

CAF_TEST(behind a gap a turn goes on from the place that the gap names) {
  session.next.push_back(page({make_gap_event({first, 2, 2}), chunk(first, 3)}));
  open(behind(first, 7));
  CAF_CHECK_EQUAL(pull(2), indices({2, 3}));
  CAF_CHECK(reader->in_turn());
}

CAF_TEST(a reader knows the place before its first event) {
  open();
  CAF_CHECK(!reader->anchor());  // nobody knows it yet
  whole_turn(first);
  open();
  CAF_CHECK(reader->anchor() == (cursor{first, 1, 1}));
  open(behind(first, 0));
  CAF_CHECK(reader->anchor() == (cursor{first, 1, 0}));
  session.next.push_back(
      page({turn(second), chunk(second, 0)}));  // runs, its start is held no more
  open();
  CAF_CHECK(reader->anchor() == (cursor{second, 1, cursor::before_turn}));
}

CAF_TEST(a live reader that heard nothing has its place when its log is begun anew) {
  whole_turn(first);
  open();
  CAF_CHECK(session.log->outdate(5));
  session.next.push_back(page({turn(second), chunk(second, 0)}));
  CAF_CHECK_EQUAL(pull(2), indices({-1, 0}));
  CAF_CHECK(session.asked.at(1).place == (cursor{first, 1, 1}));
  CAF_CHECK(!session.asked.at(1).live);
}

CAF_TEST(a reader of this node only asks nobody else) {
  where.set(shard_of(id), {runtime::cluster::route::kind::there, node_id{2}, 1});
  session_reader::options how;
  how.only_here = true;
  open(how);
  CAF_CHECK_EQUAL(placed, std::vector<int>{runtime::port::status_not_here});
}

CAF_TEST_FIXTURE_SCOPE_END()
