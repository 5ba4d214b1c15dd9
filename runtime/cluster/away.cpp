#include "runtime/cluster/away.hpp"

#include <boost/asio/post.hpp>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

namespace kgents::runtime::cluster {

void turn_registry::add(turn_id turn, const caf::actor& call) {
  std::lock_guard guard{mutex_};
  calls_[turn] = call;
}

void turn_registry::remove(turn_id turn, caf::actor_id call) {
  std::lock_guard guard{mutex_};
  const auto at = calls_.find(turn);
  if (at != calls_.end() && at->second.id() == call)
    calls_.erase(at);
}

caf::actor turn_registry::find(turn_id turn) const {
  std::lock_guard guard{mutex_};
  const auto at = calls_.find(turn);
  return at == calls_.end() ? caf::actor{} : at->second;
}

size_t turn_registry::size() const {
  std::lock_guard guard{mutex_};
  return calls_.size();
}

std::vector<caf::actor> turn_registry::all() const {
  std::lock_guard guard{mutex_};
  std::vector<caf::actor> out;
  for (const auto& [turn, call] : calls_)
    out.push_back(call);
  return out;
}

/// Beside a session: the turn that runs on `peer`.
class away_turn : public pinned_actor {
public:
  away_turn(caf::actor_config& config, io_unit* unit, away& all, node_id peer, turn_id turn,
            caf::actor session)
      : pinned_actor(config, unit), all_{all}, peer_{peer}, turn_{turn}, session_{session} {}

  const char* name() const override { return "away_turn"; }

  caf::behavior make_behavior() override {
    set_default_handler(caf::drop);
    monitor(session_);
    set_down_handler([this](const caf::down_msg&) { quit(); });
    using what = turn_order::what;
    return {
        [this](const turn_credit& x) { all_.send(peer_, turn_order{turn_, what::credit, x.chunks}); },
        [this](turn_hold) { all_.send(peer_, turn_order{turn_, what::hold}); },
        [this](const turn_home&) { all_.send(peer_, turn_order{turn_, what::resume}); },
        [this](turn_let_go) { let_go_ = true; },
    };
  }

  void on_exit() override {
    // The answer is over, or the session crashed: nobody wants more of it.
    if (!let_go_)
      all_.send(peer_, turn_order{turn_, turn_order::what::stop});
    all_.forget(all_.turns_, turn_, id());
    session_ = nullptr;
  }

private:
  away& all_;
  const node_id peer_;
  const turn_id turn_;
  caf::actor session_;
  bool let_go_ = false;
};

/// Beside a turn: the session that lives on `peer`.
class away_session : public pinned_actor {
public:
  away_session(caf::actor_config& config, io_unit* unit, away& all, node_id peer, turn_id turn,
               caf::actor call)
      : pinned_actor(config, unit), all_{all}, peer_{peer}, turn_{turn}, call_{call} {}

  const char* name() const override { return "away_session"; }

  caf::behavior make_behavior() override {
    set_default_handler(caf::drop);
    monitor(call_);
    set_down_handler([this](const caf::down_msg&) {
      if (!finished_)
        say(turn_word::what::gone, {});
      quit();
    });
    using what = turn_word::what;
    return {
        [this](const turn_chunks& x) { say(what::chunks, encode(x)); },
        [this](const turn_finished& x) {
          finished_ = true;
          say(what::finished, encode(x));
        },
        [this](const turn_held& x) { say(what::held, encode(x)); },
    };
  }

  void on_exit() override {
    all_.forget(all_.sessions_, turn_, id());
    call_ = nullptr;
  }

private:
  void say(turn_word::what word, std::string body) {
    all_.send(peer_, turn_word{turn_, word, std::move(body)});
  }

  away& all_;
  const node_id peer_;
  const turn_id turn_;
  caf::actor call_;
  bool finished_ = false;
};

away::away(caf::actor_system& system, io_unit& unit, turn_registry& here, sender send)
    : system_{system}, unit_{unit}, here_{here}, send_{std::move(send)} {}

void away::forget(table& from, turn_id turn, caf::actor_id which) {
  const auto at = from.find(turn);
  if (at != from.end() && at->second.actor.id() == which)
    from.erase(at);
}

caf::actor away::adopt(node_id where, turn_id turn, const caf::actor& session) {
  auto made = system_.spawn<away_turn>(&unit_, *this, where, turn, session);
  boost::asio::post(unit_.thread().context(), [this, where, turn, made, session] {
    turns_[turn] = {where, made, session};
    if (!send_(where, to_bytes(adopt_frame{turn})))
      caf::anon_send_exit(made, caf::exit_reason::remote_link_unreachable);
  });
  return made;
}

void away::on_order(node_id from, const turn_order& x) {
  const auto at = sessions_.find(x.turn);
  if (at == sessions_.end() || at->second.peer != from)
    return;  // of a home that the turn has left meanwhile
  const auto& call = at->second.behind;
  switch (x.order) {
    case turn_order::what::credit:
      caf::anon_send(call, turn_credit{x.chunks});
      break;
    case turn_order::what::hold:
      caf::anon_send(call, turn_hold{});
      break;
    case turn_order::what::resume:
      caf::anon_send(call, turn_home{at->second.actor});
      break;
    case turn_order::what::stop:
      caf::anon_send_exit(call, caf::exit_reason::user_shutdown);
      break;
  }
}

void away::on_word(node_id from, const turn_word& x) {
  const auto at = turns_.find(x.turn);
  if (at == turns_.end() || at->second.peer != from)
    return;
  const auto& session = at->second.behind;
  const auto pass = [&](auto message) {
    if (decode(x.body, message))
      caf::anon_send(session, std::move(message));
  };
  switch (x.word) {
    case turn_word::what::chunks:
      pass(turn_chunks{});
      break;
    case turn_word::what::finished:
      pass(turn_finished{});
      break;
    case turn_word::what::held:
      pass(turn_held{});
      break;
    case turn_word::what::gone:
      caf::anon_send_exit(at->second.actor, caf::exit_reason::remote_link_unreachable);
      break;
  }
}

void away::on_adopt(node_id from, const adopt_frame& x) {
  const auto call = here_.find(x.turn);
  if (!call) {
    send(from, turn_word{x.turn, turn_word::what::gone, {}});
    return;
  }
  auto made = system_.spawn<away_session>(&unit_, *this, from, x.turn, call);
  const auto before = sessions_.find(x.turn);
  const auto old = before == sessions_.end() ? caf::actor{} : before->second.actor;
  sessions_[x.turn] = {from, made, call};
  // First its new home, then the end of the old one, which the turn does not look at any more.
  caf::anon_send(call, turn_home{made});
  if (old)
    caf::anon_send_exit(old, caf::exit_reason::user_shutdown);
}

void away::link_down(node_id peer) {
  for (const auto* table : {&turns_, &sessions_})
    for (const auto& [turn, x] : *table)
      if (x.peer == peer)
        caf::anon_send_exit(x.actor, caf::exit_reason::remote_link_unreachable);
}

void away::stop() {
  for (const auto* table : {&turns_, &sessions_})
    for (const auto& [turn, x] : *table)
      caf::anon_send_exit(x.actor, caf::exit_reason::user_shutdown);
}

}  // namespace kgents::runtime::cluster
