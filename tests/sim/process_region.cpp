// A process's sessions: where they are, admitted, recovered and on the move.

#include <algorithm>

#include "tests/sim/process.hpp"
#include "tests/sim/world.hpp"

namespace kgents::sim {

void process::refresh_routes() {
  using hold = cluster::coordinator::hold;
  for (size_t which = 0; which < all.db.sessions.size(); ++which) {
    const auto shard = all.shard(which);
    const auto lease = machine_.lease(shard);
    cluster::route to{cluster::route::kind::wait, lease.owner, lease.epoch};
    const auto held = machine_.holds(shard);
    if (held == hold::held)
      to.where = cluster::route::kind::here;
    else if (held == hold::none && lease.owner && lease.owner != machine_.self())
      to.where = cluster::route::kind::there;
    routes_->set(shard, to);
  }
}

cluster::route process::route_of(size_t which) const { return routes_->of(all.shard(which)); }

std::shared_ptr<session> process::live(size_t which) const {
  const auto at = sessions_.find(which);
  return at == sessions_.end() ? nullptr : at->second;
}

std::variant<std::shared_ptr<session>, process::refusal> process::admit(size_t which) {
  const auto where = route_of(which);
  if (where.where == cluster::route::kind::there)
    return refusal::elsewhere;
  if (where.where == cluster::route::kind::wait)
    return refusal::in_transit;
  auto& slot = sessions_[which];
  if (!slot) {
    slot = std::make_shared<session>(*this, which, where.epoch);
    auto fresh = slot;
    after(10us, [fresh] {
      if (!fresh->over())
        fresh->start();
    });
    return fresh;
  }
  return slot;
}

bool process::retire(const session& x) {
  const auto at = sessions_.find(x.which());
  if (at == sessions_.end() || at->second.get() != &x)
    return true;
  if (x.in_flight != 0)
    return false;
  sessions_.erase(at);
  return true;
}

/// An activation has ended by itself, or was ended.
void process::forget(session& x, bool moved) {
  const auto keep = x.shared_from_this();
  x.stop();
  const auto at = sessions_.find(x.which());
  if (at != sessions_.end() && at->second == keep)
    sessions_.erase(at);
  turns->session_over(x);
  port->entity_lost(x.which(), moved);
  // Refused for the turn's epoch though the shard is ours still: an own claim was carried out late.
  if (moved && !all.broken("fenced-for-good"))
    after(250ms, [this, which = x.which()] {
      if (route_of(which).where == cluster::route::kind::here)
        activate(which);
    });
  for (auto& [id, out] : departures_)
    if (const auto y = out.staying.find(x.which()); y != out.staying.end() && y->second == keep)
      after(10us, [this, id = id, which = x.which()] { stayed(id, which); });
}

std::optional<moving_turn> process::arrived(size_t which) {
  const auto at = arrivals_.extract(which);
  return at.empty() ? std::nullopt : std::optional{at.mapped()};
}

void process::recover() {
  if (std::exchange(recovering_, true))
    return;
  query<std::vector<size_t>>(
      [&w = all]() -> std::optional<std::vector<size_t>> {
        std::vector<size_t> out;
        for (size_t i = 0; i < w.db.sessions.size(); ++i)
          if (!w.unfinished(i)->empty())
            out.push_back(i);
        return out;
      },
      [this, shards = std::exchange(to_recover_, {})](std::optional<std::vector<size_t>> found) {
        recovering_ = false;
        if (!found) {
          to_recover_.insert(to_recover_.end(), shards.begin(), shards.end());
          return;
        }
        for (const auto which : *found)
          if (std::find(shards.begin(), shards.end(), all.shard(which)) != shards.end())
            activate(which);
        // Who follows a turn whose end was not shown here hears of it from a new activation.
        for (const auto& log : logs->read()) {
          const auto which = all.session_of(log->session());
          if (log->open_turn() && !all.broken("log-with-a-hole") &&
              std::find(shards.begin(), shards.end(), all.shard(which)) != shards.end())
            activate(which);
        }
      },
      query_deadline);
}

/// Whatever it answers, it is in memory then. PostgreSQL may fail it once more, though.
void process::activate(size_t which) {
  port->ask(which, turn_id{}, [this, which](reply out) {
    if (out.status != 200 && !all.broken("activate-once"))
      after(250ms, [this, which] {
        if (route_of(which).where == cluster::route::kind::here)
          activate(which);
      });
  });
}

void process::go_on_here(const std::vector<moving_turn>& moved) {
  for (const auto& x : moved)
    if (route_of(x.session).where == cluster::route::kind::here)
      activate(x.session);
}

void process::handed_over(node_id from, node_id to, const database::epochs& shards,
                          const std::vector<moving_turn>& moved) {
  for (const auto& x : moved)
    arrivals_[x.session] = x;
  happened(cluster::handed_over{from, shards, to});
  go_on_here(moved);
}

void process::left(uint64_t hand_off, size_t which, std::optional<moving_turn> turn) {
  const auto at = departures_.find(hand_off);
  if (at == departures_.end()) {
    if (turn) {
      arrivals_[turn->session] = *turn;
      go_on_here({*turn});
    }
    return;
  }
  if (turn)
    at->second.turns.push_back(*turn);
  ++all.moved_sessions;
  stayed(hand_off, which);
}

void process::stayed(uint64_t hand_off, size_t which) {
  const auto at = departures_.find(hand_off);
  if (at == departures_.end())
    return;
  at->second.staying.erase(which);
  if (at->second.staying.empty())
    happened(cluster::shards_released{hand_off});
}

}  // namespace kgents::sim
