#define CAF_SUITE away

#include "runtime/cluster/away.hpp"

#include <caf/event_based_actor.hpp>
#include <deque>

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::cluster;

namespace {

/// A session: what it hears of its turn, as one line.
caf::behavior scripted_session(caf::event_based_actor* self, std::string* heard) {
  self->set_down_handler([heard](const caf::down_msg&) { *heard += "down "; });
  return {[=](const caf::actor& worker) { self->monitor(worker); },
          [=](const turn_chunks& x) {
            for (const auto& text : x.texts)
              *heard += text;
            *heard += "| ";
          },
          [=](const turn_finished& x) { *heard += x.finish_reason + " "; },
          [=](const turn_held&) { *heard += "held "; }};
}

/// A turn: what it is told, and to whom it talks.
struct call {
  std::string heard;
  caf::actor home;
  caf::actor self;
  bool ended = false;
};

caf::behavior scripted_turn(caf::event_based_actor*, call* x) {
  return {[=](const turn_credit& c) { x->heard += std::to_string(c.chunks) + " "; },
          [=](turn_hold) { x->heard += "hold "; },
          [=](const turn_home& to) {
            x->heard += "home ";
            x->home = to.session;
          }};
}

struct frame {
  node_id from;
  node_id to;
  std::string bytes;
};

struct node {
  node(caf::actor_system& system, io_unit& unit, node_id self, std::deque<frame>& wire)
      : id{self}, all{system, unit, turns, [this, &wire](node_id to, std::string bytes) {
                        if (linked)
                          wire.push_back({id, to, std::move(bytes)});
                        return linked;
                      }} {}

  const node_id id;
  bool linked = true;
  turn_registry turns;
  away all;
};

/// The I/O thread is never started: the test runs what is posted to it, and carries the frames.
struct fixture : test_coordinator_fixture<> {
  io_thread thread{0, "cluster"};
  io_unit unit{sys, thread};
  std::deque<frame> wire;
  node home{sys, unit, node_id{1}, wire};  // of the session
  node far{sys, unit, node_id{2}, wire};   // of the turn
  node next{sys, unit, node_id{3}, wire};  // where the session moves to
  const turn_id id{uuid::random()};
  std::string heard;
  std::string heard_next;
  caf::actor session = sys.spawn(scripted_session, &heard);
  caf::actor moved = sys.spawn(scripted_session, &heard_next);
  call turn;
  caf::actor stand_in;

  fixture() {
    turn.self = sys.spawn(scripted_turn, &turn);
    turn.self->attach_functor([this] { turn.ended = true; });
    far.turns.add(id, turn.self);
  }

  ~fixture() override {
    for (auto* x : {&home, &far, &next})
      x->all.stop();
    turn.home = nullptr;
    stand_in = nullptr;
    for (const auto& x : {session, moved, turn.self})
      caf::anon_send_exit(x, caf::exit_reason::kill);
    settle();
  }

  void run() {
    while (thread.context().poll() + consume_messages() > 0) {
    }
  }

  void settle() {
    for (run(); !wire.empty(); run()) {
      const auto x = std::move(wire.front());
      wire.pop_front();
      for (auto* to : {&home, &far, &next})
        if (to->id == x.to)
          deliver(*to, x);
    }
  }

  template <class Frame, class F>
  static void read(const frame& x, F work) {
    Frame out;
    CAF_REQUIRE(decode(std::span{x.bytes}.subspan(1), out));
    work(out);
  }

  static void deliver(node& to, const frame& x) {
    switch (static_cast<frame_kind>(x.bytes.front())) {
      case frame_kind::to_turn:
        return read<turn_order>(x, [&](auto& f) { to.all.on_order(x.from, f); });
      case frame_kind::to_session:
        return read<turn_word>(x, [&](auto& f) { to.all.on_word(x.from, f); });
      case frame_kind::adopt:
        return read<adopt_frame>(x, [&](auto& f) { to.all.on_adopt(x.from, f); });
      default:
        CAF_FAIL("unexpected frame");
    }
  }

  caf::actor adopt(node& by, const caf::actor& whose) {
    auto out = by.all.adopt(far.id, id, whose);
    caf::anon_send(whose, out);
    settle();
    return out;
  }

  void adopt() { stand_in = adopt(home, session); }

  void say(auto message) {
    caf::anon_send(turn.home, std::move(message));
    settle();
  }
  void order(auto message) {
    caf::anon_send(stand_in, std::move(message));
    settle();
  }
  void end(const caf::actor& x) {
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
    settle();
  }

  turn_chunks chunks(std::string text) const { return {id, 3, {std::move(text)}}; }
  turn_finished last() const { return {id, 3, "stop", "", "", "m", 1, 2, 0}; }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(away_tests, fixture)

CAF_TEST(what a turn says reaches its session on the other node) {
  adopt();
  CAF_CHECK_EQUAL(turn.heard, "home ");
  CAF_CHECK_EQUAL(far.all.sessions(), 1u);
  say(chunks("A"));
  say(chunks("B"));
  say(turn_held{id, 3});
  say(last());
  CAF_CHECK_EQUAL(heard, "A| B| held stop ");
}

CAF_TEST(what a session orders reaches its turn on the other node) {
  adopt();
  const auto first_home = turn.home;
  order(turn_credit{5});
  order(turn_hold{});
  order(turn_home{session});
  CAF_CHECK_EQUAL(turn.heard, "home 5 hold home ");
  CAF_CHECK(turn.home == first_home);  // what it is told is the stand-in of its own node
}

CAF_TEST(a turn is stopped when its session ends) {
  adopt();
  end(session);
  CAF_CHECK(turn.ended);
  CAF_CHECK_EQUAL(far.all.sessions(), 0u);
}

CAF_TEST(a turn is stopped when its session has no more use for it) {
  adopt();
  end(stand_in);
  CAF_CHECK(turn.ended);
}

CAF_TEST(a turn goes on when its session leaves and follows it) {
  adopt();
  order(turn_hold{});
  order(turn_let_go{});
  end(session);
  CAF_CHECK(!turn.ended);
  const auto there = adopt(next, moved);
  CAF_CHECK_EQUAL(turn.heard, "home hold home ");
  CAF_CHECK_EQUAL(far.all.sessions(), 1u);
  say(chunks("B"));
  CAF_CHECK_EQUAL(heard_next, "B| ");
  CAF_CHECK_EQUAL(heard, "");
  caf::anon_send(there, turn_credit{7});
  settle();
  CAF_CHECK_EQUAL(turn.heard, "home hold home 7 ");
}

CAF_TEST(a home that the turn has left orders nothing any more) {
  adopt();
  adopt(next, moved);
  far.all.on_order(home.id, {id, turn_order::what::stop});
  far.all.on_order(home.id, {id, turn_order::what::credit, 9});
  settle();
  CAF_CHECK(!turn.ended);
  CAF_CHECK_EQUAL(turn.heard, "home home ");
  end(session);
  CAF_CHECK(!turn.ended);
}

CAF_TEST(only the node of the turn speaks for it) {
  adopt();
  home.all.on_word(next.id, {id, turn_word::what::chunks, encode(chunks("forged"))});
  home.all.on_word(next.id, {id, turn_word::what::gone, {}});
  home.all.on_word(far.id, {turn_id{uuid::random()}, turn_word::what::gone, {}});
  home.all.on_word(far.id, {id, turn_word::what::chunks, "no sense"});
  settle();
  CAF_CHECK_EQUAL(heard, "");
}

CAF_TEST(a session hears at once that its turn is not there) {
  far.turns.remove(id, turn.self.id());
  adopt();
  CAF_CHECK_EQUAL(heard, "down ");
  CAF_CHECK_EQUAL(far.all.sessions(), 0u);
}

CAF_TEST(a session hears at once that there is no link to its turn) {
  home.linked = false;
  adopt();
  CAF_CHECK_EQUAL(heard, "down ");
}

CAF_TEST(a session hears that its turn broke off) {
  adopt();
  say(chunks("A"));
  caf::anon_send_exit(turn.self, caf::exit_reason::unhandled_exception);
  settle();
  CAF_CHECK_EQUAL(heard, "A| down ");
  CAF_CHECK_EQUAL(far.all.sessions(), 0u);
}

CAF_TEST(the end of a turn that has said its last word is no loss) {
  adopt();
  say(last());
  end(turn.self);
  CAF_CHECK_EQUAL(heard, "stop ");
  CAF_CHECK_EQUAL(far.all.sessions(), 0u);
}

CAF_TEST(when the link is lost the session loses its turn and the turn its home) {
  adopt();
  bool home_ended = false;
  turn.home->attach_functor([&] { home_ended = true; });
  home.linked = far.linked = false;
  home.all.link_down(next.id);  // another one's
  far.all.link_down(next.id);
  settle();
  CAF_CHECK_EQUAL(heard, "");
  CAF_CHECK(!home_ended);
  home.all.link_down(far.id);
  far.all.link_down(home.id);
  settle();
  CAF_CHECK_EQUAL(heard, "down ");
  CAF_CHECK(home_ended);  // by which a turn notices
  CAF_CHECK_EQUAL(far.all.sessions(), 0u);
}

CAF_TEST(with the node its stand - ins end) {
  adopt();
  far.linked = false;
  far.all.stop();
  home.all.stop();
  settle();
  CAF_CHECK_EQUAL(heard, "down ");
  CAF_CHECK_EQUAL(far.all.sessions(), 0u);
}

CAF_TEST(the registry forgets a call and not its successor) {
  const auto other = sys.spawn(scripted_turn, &turn);
  CAF_CHECK(far.turns.find(id) == turn.self);
  far.turns.add(id, other);
  far.turns.remove(id, turn.self.id());
  CAF_CHECK(far.turns.find(id) == other);
  CAF_CHECK_EQUAL(far.turns.size(), 1u);
  CAF_CHECK(far.turns.all() == std::vector<caf::actor>{other});
  far.turns.remove(id, other.id());
  CAF_CHECK(!far.turns.find(id));
  caf::anon_send_exit(other, caf::exit_reason::kill);
}

CAF_TEST_FIXTURE_SCOPE_END()
