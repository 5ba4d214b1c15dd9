// What runtime/cluster/members.cpp does with the coordinator's actions.

#include <algorithm>

#include "tests/sim/process.hpp"
#include "tests/sim/world.hpp"

namespace kgents::sim {

void process::happened(cluster::event what) {
  events_.push_back(std::move(what));
  if (std::exchange(busy_, true))
    return;
  for (size_t i = 0; i < events_.size(); ++i) {
    const auto next = std::move(events_[i]);
    carry_out(machine_.apply(next, local()));
  }
  events_.clear();
  busy_ = false;
}

void process::carry_out(const cluster::actions& actions) {
  const bool routes = std::any_of(actions.begin(), actions.end(), [](const cluster::action& x) {
    return std::holds_alternative<cluster::own_shards>(x) ||
           std::holds_alternative<cluster::lose_shards>(x) ||
           std::holds_alternative<cluster::release_shards>(x) ||
           std::holds_alternative<cluster::keep_shards>(x) ||
           std::holds_alternative<cluster::routes_changed>(x) ||
           std::holds_alternative<cluster::fenced>(x) ||
           std::holds_alternative<cluster::send_snapshots>(x);
  });
  if (routes)
    refresh_routes();
  for (const auto& x : actions)
    std::visit([this](const auto& y) { carry(y); }, x);
  if (!routes)
    return;
  port->routes_changed();
  feeds->routes_changed();
  mirrors->routes_changed();
}

void process::carry(const cluster::join&) {
  query<node_id>(
      [&w = all, n = name_, number = number_]() -> std::optional<node_id> {
        return w.db.join(n, w.roles_of(number), number);
      },
      [this](std::optional<node_id> self) {
        if (!self) {
          happened(cluster::database_failed{});
          return;
        }
        all.net.identify(*this, *self);
        happened(cluster::joined{*self});
      },
      query_deadline);
}

void process::carry(const cluster::beat& x) {
  query<cluster_view>(
      [&w = all, self = machine_.self(), state = x.state,
       known = machine_.view().version]() -> std::optional<cluster_view> {
        w.db.beat(self, state);
        return w.db.view(known);
      },
      [this](std::optional<cluster_view> out) {
        if (out)
          happened(cluster::viewed{std::move(*out), true});
        else
          happened(cluster::database_failed{});
      },
      query_deadline);
}

void process::carry(const cluster::read_view&) {
  query<cluster_view>(
      [&w = all, known = machine_.view().version]() -> std::optional<cluster_view> {
        return w.db.view(known);
      },
      [this](std::optional<cluster_view> out) {
        if (out)
          happened(cluster::viewed{std::move(*out), false});
        else
          happened(cluster::database_failed{});
      },
      query_deadline);
}

void process::carry(const cluster::keep_links& x) {
  std::set<node_id> peers;
  for (const auto& m : x.peers)
    peers.insert(m.id);
  all.net.keep(*this, std::move(peers));
}

void process::carry(const cluster::suspect& x) {
  query<bool>(
      [&w = all, self = machine_.self(), peer = x.peer]() -> std::optional<bool> {
        w.db.suspect(self, peer);
        return true;
      },
      [](auto) {}, query_deadline);
}

void process::carry(const cluster::trust& x) {
  query<bool>(
      [&w = all, self = machine_.self(), peer = x.peer]() -> std::optional<bool> {
        w.db.trust(self, peer);
        return true;
      },
      [](auto) {}, query_deadline);
}

void process::carry(const cluster::declare_dead& x) {
  query<bool>(
      [&w = all, self = machine_.self(), x]() -> std::optional<bool> {
        w.db.declare_dead(self, x.peer, x.beat);
        return true;
      },
      [this](auto) { happened(cluster::poked{}); }, query_deadline);
}

void process::carry(const cluster::take_leases& x) {
  query<database::epochs>(
      [&w = all, self = machine_.self(), x]() -> std::optional<database::epochs> {
        return w.db.take(self, w.unlocked(x.shards));
      },
      [this](std::optional<database::epochs> out) {
        if (out)
          happened(cluster::leases_taken{std::move(*out)});
        else
          happened(cluster::take_failed{});
      },
      query_deadline);
}

/// For the trace: which sessions a decision is about.
void process::say_sessions(const char* what, const std::function<bool(shard_id)>& about) const {
  if (!all.how.trace)
    return;
  for (size_t i = 0; i < all.db.sessions.size(); ++i)
    if (about(all.shard(i)))
      all.say(name_ + " (" + std::to_string(machine_.self().value) + ") " + what + " session " +
              std::to_string(i));
}

void process::carry(const cluster::own_shards& x) {
  say_sessions(x.recover ? "recovers" : "gets", [&](shard_id y) {
    return std::any_of(x.shards.begin(), x.shards.end(),
                       [&](const auto& z) { return z.first == y; });
  });
  // Also those that came with snapshots: they tell of running turns only, and may have been lost.
  if (!x.recover && all.broken("recover-crashes-only"))
    return;
  for (const auto& [shard, epoch] : x.shards)
    to_recover_.push_back(shard);
  recover();
}

void process::carry(const cluster::release_shards& x) {
  say_sessions("releases", [&](shard_id y) {
    return std::find(x.shards.begin(), x.shards.end(), y) != x.shards.end();
  });
  auto& out = departures_[x.hand_off];
  for (const auto& [which, actor] : sessions_)
    if (std::find(x.shards.begin(), x.shards.end(), all.shard(which)) != x.shards.end())
      out.staying.emplace(which, actor);
  // Those that have just come, and are in memory nowhere, travel on.
  std::erase_if(arrivals_, [&](const auto& y) {
    const bool leaves =
        !sessions_.contains(y.first) &&
        std::find(x.shards.begin(), x.shards.end(), all.shard(y.first)) != x.shards.end();
    if (leaves)
      out.turns.push_back(y.second);
    return leaves;
  });
  if (out.staying.empty()) {
    happened(cluster::shards_released{x.hand_off});
    return;
  }
  for (const auto& [which, actor] : std::map(out.staying))
    after(10us, [this, id = x.hand_off, which = which, actor = actor] {
      if (!actor->over())
        actor->leave([this, id, which](std::optional<moving_turn> turn) {
          after(10us, [this, id, which, turn] { left(id, which, turn); });
        });
    });
}

void process::carry(const cluster::give_leases& x) {
  query<database::epochs>(
      [&w = all, self = machine_.self(), x]() -> std::optional<database::epochs> {
        return w.db.give(self, x.to, w.unlocked(x.shards));
      },
      [this, id = x.hand_off](std::optional<database::epochs> out) {
        if (out)
          happened(cluster::leases_given{id, std::move(*out)});
        else
          happened(cluster::give_unknown{id});
      },
      query_deadline);
}

void process::carry(const cluster::send_snapshots& x) {
  const auto at = departures_.find(x.hand_off);
  if (at == departures_.end())
    return;
  std::vector<moving_turn> with, kept;
  for (const auto& turn : at->second.turns) {
    const bool moved = std::any_of(x.shards.begin(), x.shards.end(), [&](const auto& y) {
      return y.first == all.shard(turn.session);
    });
    (moved ? with : kept).push_back(turn);
  }
  // It may come twice: then it comes too late.
  for (int times = all.rng.chance(0.05) ? 2 : 1; times > 0; --times)
    all.net.send(*this, x.to, [shards = x.shards, with, to = x.to](process& there, node_id from) {
      there.handed_over(from, to, shards, with);
    });
  at->second.turns = std::move(kept);
  if (at->second.turns.empty())
    departures_.erase(at);
}

void process::carry(const cluster::keep_shards& x) {
  say_sessions("keeps", [&](shard_id y) {
    return std::find(x.shards.begin(), x.shards.end(), y) != x.shards.end();
  });
  const auto at = departures_.find(x.hand_off);
  if (at == departures_.end())
    return;
  auto gone = std::move(at->second);
  departures_.erase(at);
  for (const auto& [which, actor] : gone.staying)
    after(10us, [actor = actor] {
      if (!actor->over())
        actor->stay();
    });
  for (const auto& turn : gone.turns)
    arrivals_[turn.session] = turn;
  go_on_here(gone.turns);
}

void process::carry(const cluster::lose_shards& x) {
  say_sessions("loses", [&](shard_id y) {
    return std::find(x.shards.begin(), x.shards.end(), y) != x.shards.end();
  });
  const auto lost = [&](size_t which) {
    return std::find(x.shards.begin(), x.shards.end(), all.shard(which)) != x.shards.end();
  };
  std::erase_if(arrivals_, [&](const auto& y) { return lost(y.first); });
  std::erase_if(to_recover_, [&](shard_id y) {
    return std::find(x.shards.begin(), x.shards.end(), y) != x.shards.end();
  });
  for (const auto& [which, actor] : std::map(sessions_))
    if (lost(which))
      forget(*actor, true);
}

void process::carry(const cluster::poke_peers&) {
  for (const auto& x : machine_.view().members)
    if (x.id != machine_.self())
      all.net.send(*this, x.id, [](process& there, node_id) { there.happened(cluster::poked{}); });
}

void process::carry(const cluster::fenced& x) {
  all.say(name_ + ": " + x.why);
  departures_.clear();
  all.net.identify(*this, {});
}

void process::carry(const cluster::drained&) {
  all.say(name_ + " is drained");
  if (!drain_began_)
    drain();
  exit_when_done(now() + drain_within);
}

void process::carry(const cluster::stop& x) {
  throw violation(name_ + " stopped for good: " + x.why);
}

}  // namespace kgents::sim
