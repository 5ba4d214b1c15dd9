#include "tests/sim/turns.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time homeless_for = 10s;
constexpr sim_time local_hop = 10us;

}  // namespace

/// A model call: makes the rest of an answer, chunk by chunk, as far as it has credit.
struct turns::call {
  turn_id turn;
  lease_epoch epoch = 0;
  uint32_t next = 0;
  uint32_t total = 0;
  uint32_t credit = 0;
  std::vector<std::string> pending;
  bool making = false;
  bool held = false;
  bool done = false;      // made all of it
  bool finished = false;  // and said so
  bool over = false;
  uint64_t holds = 0;
  std::weak_ptr<session> home;  // on this node
  node_id home_node;            // or there
};

/// A session's handle of a call on its own node.
struct turns::local : turn_handle {
  local(turns& t, std::shared_ptr<call> x) : all{t}, what{std::move(x)} {}
  void do_later(std::function<void(call&, turns&)> work) {
    all.home_.after(local_hop, [&t = all, c = what, work = std::move(work)] {
      if (!c->over)
        work(*c, t);
    });
  }
  void credit(uint32_t chunks) override {
    do_later([chunks, c = what](call& x, turns& t) {
      x.credit += chunks;
      t.next_chunk(c);
    });
  }
  void hold() override {
    do_later([](call& x, turns& t) { t.hold(x); });
  }
  void resume() override {
    do_later([](call& x, turns& t) { t.go_home(x); });
  }
  void stop() override {
    do_later([](call& x, turns& t) { t.end(x); });
  }
  void let_go() override {}
  turns& all;
  const std::shared_ptr<call> what;
};

/// Beside a session: the call that runs on another node.
struct turns::remote : turn_handle, std::enable_shared_from_this<remote> {
  remote(turns& t, node_id p, turn_id i, lease_epoch e, std::weak_ptr<session> s)
      : all{t}, peer{p}, turn{i}, epoch{e}, whose{std::move(s)} {}
  void order(std::function<void(call&, turns&)> what) {
    all.home_.all.net.send(all.home_, peer, [turn = turn, what](process& there, node_id from) {
      there.turns->on_order(from, turn, what);
    });
  }
  void credit(uint32_t chunks) override {
    order([chunks](call& x, turns& t) {
      x.credit += chunks;
      t.next_chunk(t.calls_.at(x.turn));
    });
  }
  void hold() override {
    order([](call& x, turns& t) { t.hold(x); });
  }
  void resume() override {
    order([](call& x, turns& t) { t.go_home(x); });
  }
  void stop() override {
    order([](call& x, turns& t) { t.end(x); });
    over = true;
    all.forget(*this);
  }
  void let_go() override { gave_up = true; }
  turns& all;
  const node_id peer;
  const turn_id turn;
  const lease_epoch epoch;
  const std::weak_ptr<session> whose;
  bool gave_up = false;
  bool over = false;
};

turns::~turns() = default;

std::shared_ptr<turn_handle> turns::start(const std::shared_ptr<session>& whose, turn_id turn,
                                          lease_epoch epoch, uint32_t done, uint32_t total) {
  auto x = std::make_shared<call>();
  x->turn = turn;
  x->epoch = epoch;
  x->next = done;
  x->total = total;
  x->home = whose;
  calls_[turn] = x;
  say("is made", turn);
  return std::make_shared<local>(*this, x);
}

void turns::next_chunk(const std::shared_ptr<call>& x) {
  if (x->over || x->making || x->done || (x->credit == 0 && x->next < x->total))
    return;
  x->making = true;
  home_.after(home_.all.rng.between(2ms, 60ms), [this, x] {
    x->making = false;
    if (x->over)
      return;
    if (x->next < x->total) {
      --x->credit;
      x->pending.push_back(home_.all.text_of(x->turn, x->next++, x->epoch));
    }
    if (!x->held && !x->pending.empty())
      tell(*x, [turn = x->turn, epoch = x->epoch, texts = std::exchange(x->pending, {})](
                   session& s) { s.chunks_arrived(turn, epoch, texts); });
    if (x->next == x->total) {
      x->done = true;
      if (!x->held && !std::exchange(x->finished, true))
        tell(*x, [turn = x->turn, epoch = x->epoch](session& s) { s.turn_finished(turn, epoch); });
      return;
    }
    next_chunk(x);
  });
}

/// To the session, on this node or another.
void turns::tell(call& x, std::function<void(session&)> word) {
  if (x.home_node) {
    home_.all.net.send(home_, x.home_node,
                       [turn = x.turn, word = std::move(word)](process& there, node_id from) {
                         there.turns->on_word(from, turn, word);
                       });
    return;
  }
  home_.after(local_hop, [home = x.home, word = std::move(word)] {
    if (const auto s = home.lock(); s && !s->over())
      word(*s);
  });
}

void turns::say(const char* what, turn_id turn) const {
  if (home_.all.how.trace)
    home_.all.say(home_.name() + ": turn " + std::to_string(turn.value.bytes[8]) + " of session " +
                  std::to_string(turn.value.bytes[0] - 1) + " " + what);
}

void turns::hold(call& x) {
  say("is held", x.turn);
  x.held = true;
  const auto round = ++x.holds;
  tell(x, [turn = x.turn, epoch = x.epoch](session& s) { s.turn_held(turn, epoch); });
  home_.after(homeless_for, [this, c = calls_.at(x.turn), round] {
    if (!c->over && c->held && c->holds == round)
      end(*c);
  });
}

void turns::go_home(call& x) {
  say("has a home", x.turn);
  x.held = false;
  if (!x.pending.empty())
    tell(x, [turn = x.turn, epoch = x.epoch, texts = std::exchange(x.pending, {})](session& s) {
      s.chunks_arrived(turn, epoch, texts);
    });
  if (x.done && !std::exchange(x.finished, true))
    tell(x, [turn = x.turn, epoch = x.epoch](session& s) { s.turn_finished(turn, epoch); });
}

void turns::end(call& x) {
  say("makes no more", x.turn);
  x.over = true;
  const auto turn = x.turn;
  const bool finished = x.finished;
  if (const auto at = calls_.find(turn); at != calls_.end() && at->second.get() == &x)
    calls_.erase(at);
  const auto away = homes_.extract(turn);
  if (!away.empty() && !finished)
    home_.all.net.send(home_, away.mapped(),
                       [turn](process& there, node_id from) { there.turns->gone(from, turn); });
}

std::shared_ptr<turn_handle> turns::adopt(node_id where, turn_id turn, lease_epoch epoch,
                                          const std::shared_ptr<session>& whose) {
  if (where == home_.self()) {
    const auto at = calls_.find(turn);
    if (at == calls_.end())
      return nullptr;
    home_.after(local_hop, [this, x = at->second, weak = std::weak_ptr{whose}] {
      if (x->over)
        return;
      x->home = weak;
      x->home_node = {};
      go_home(*x);
      if (const auto s = weak.lock(); !s || s->over())
        end(*x);
    });
    return std::make_shared<local>(*this, at->second);
  }
  auto made = std::make_shared<remote>(*this, where, turn, epoch, whose);
  stand_ins_[turn] = made;
  if (!home_.all.net.send(home_, where, [turn](process& there, node_id from) {
        there.turns->on_adopt(from, turn);
      }))
    home_.after(local_hop, [this, where, turn] { gone(where, turn); });
  return made;
}

void turns::on_adopt(node_id from, turn_id turn) {
  const auto at = calls_.find(turn);
  if (at == calls_.end()) {
    home_.all.net.send(home_, from,
                       [turn](process& there, node_id self) { there.turns->gone(self, turn); });
    return;
  }
  homes_[turn] = from;
  at->second->home_node = from;
  at->second->home.reset();
  go_home(*at->second);
}

void turns::on_order(node_id from, turn_id turn, const std::function<void(call&, turns&)>& order) {
  const auto home = homes_.find(turn);
  const auto at = calls_.find(turn);
  if (home == homes_.end() || home->second != from || at == calls_.end())
    return;
  const auto keep = at->second;
  order(*keep, *this);
}

void turns::on_word(node_id from, turn_id turn, const std::function<void(session&)>& word) {
  const auto at = stand_ins_.find(turn);
  if (at == stand_ins_.end() || at->second->peer != from)
    return;
  if (const auto s = at->second->whose.lock(); s && !s->over())
    word(*s);
}

/// The stand-in ends: its session hears that the call is lost.
void turns::gone(node_id from, turn_id turn) {
  const auto at = stand_ins_.find(turn);
  if (at == stand_ins_.end() || at->second->peer != from)
    return;
  say("is lost with another node", turn);
  const auto x = at->second;
  stand_ins_.erase(at);
  x->over = true;
  if (!x->gave_up)
    x->order([](call& c, turns& t) { t.end(c); });
  if (const auto s = x->whose.lock(); s && !s->over())
    s->worker_lost(turn, x->epoch);
}

void turns::forget(const remote& x) {
  const auto at = stand_ins_.find(x.turn);
  if (at != stand_ins_.end() && at->second.get() == &x)
    stand_ins_.erase(at);
}

void turns::session_over(const session& whose) {
  for (const auto& [turn, x] : std::map(calls_))
    if (!x->home_node && !x->held && x->home.lock().get() == &whose)
      end(*x);
  for (const auto& [turn, x] : std::map(stand_ins_))
    if (x->whose.lock().get() == &whose) {
      forget(*x);
      if (!x->gave_up)
        x->order([](call& c, turns& t) { t.end(c); });
    }
}

void turns::link_down(node_id peer) {
  for (const auto& [turn, x] : std::map(stand_ins_))
    if (x->peer == peer)
      gone(peer, turn);
  for (const auto& [turn, home] : std::map(homes_))
    if (home == peer) {
      homes_.erase(turn);
      const auto at = calls_.find(turn);
      if (at != calls_.end() && at->second->home_node == peer && !at->second->held)
        end(*std::shared_ptr(at->second));
    }
}

}  // namespace kgents::sim
