// Leases and hand-offs, carried out: sessions that leave, arrive and are recovered.

#include <caf/send.hpp>

#include "runtime/cluster/members.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/turns.hpp"

namespace kgents::runtime::cluster {

namespace {

using clock = std::chrono::steady_clock;

}  // namespace

void members::carry(const take_leases& x) {
  query(sql::cluster::take(machine_.self(), x.shards), [this](sql::answer<sql::cluster::epochs>& out) {
    if (auto* got = std::get_if<0>(&out))
      happened(leases_taken{std::move(*got)});
    else
      happened(take_failed{});
  });
}

void members::carry(const own_shards& x) {
  // Also those that came with snapshots: a snapshot tells of running turns, and there may be some
  // that only wait, or that an owner in between had no time to take up.
  for (const auto& [shard, epoch] : x.shards)
    to_recover_.push_back(shard);
  if (x.recover) {
    if (lost_at_ && clock::now() - *lost_at_ < std::chrono::seconds{30})
      parts_.probe.failed_over(std::chrono::duration<double>(clock::now() - *lost_at_).count());
    lost_at_.reset();
  }
  recover();
}

/// Sessions with unfinished answers go on here.
void members::recover() {
  if (std::exchange(recovering_, true))
    return;
  query(sql::turns::all_unfinished(),
        [this, shards = std::exchange(to_recover_, {})](
            sql::answer<std::vector<sql::unfinished_session>>& out) {
          recovering_ = false;
          const auto* found = std::get_if<0>(&out);
          if (found == nullptr) {
            to_recover_.insert(to_recover_.end(), shards.begin(), shards.end());
            return;  // with the next tick
          }
          const auto ours = set_of(shards);
          size_t count = 0;
          for (const auto& x : *found) {
            const auto session = session_entity(x.tenant, x.session);
            if (!contains(ours, session))
              continue;
            ++count;
            activate(session);
          }
          // A log that breaks off in a turn which has ended: its readers wait for the rest.
          for (const auto& log : parts_.logs->read())
            if (contains(ours, log->session()) && log->open_turn())
              activate(log->session());
          if (count > 0)
            log::info("going on with unfinished answers", {{"sessions", count}});
        });
}

/// It is in memory when it has answered, unless it or the node refused.
void members::activate(const entity_id& session) {
  const auto here = unit()->thread().index();
  (*parts_.ports)[here].ask<session_view>(session, get_session{},
                                          [this, session](const answer<session_view>& out) {
                                            if (out.wrong.status >= 500)
                                              to_activate_.insert(session);
                                          });
}

void members::activate_again() {
  for (const auto& x : std::exchange(to_activate_, {}))
    if (parts_.routes->of(shard_of(x)).where == route::kind::here)
      activate(x);
}

void members::go_on_here(const std::vector<moving_turn>& turns) {
  for (const auto& x : turns)
    if (parts_.routes->of(shard_of(x.session)).where == route::kind::here)
      activate(x.session);
}

void members::carry(const release_shards& x) {
  auto& out = departures_[x.hand_off];
  out.began = clock::now();
  out.shards = x.shards;
  for (auto& [session, actor] : parts_.entities->of(x.shards))
    out.staying.emplace(session, actor);
  out.sessions = out.staying.size();
  // Turns that have only just come: their sessions have not been activated, or take them yet.
  for (const auto& turn : parts_.arrivals->take(x.shards))
    if (out.staying.contains(turn.session))
      parts_.arrivals->add(turn);
    else
      out.turns.push_back(turn);
  if (out.staying.empty()) {
    released(x.hand_off);
    return;
  }
  for (const auto& [session, actor] : out.staying) {
    // Without a timeout: one that leaves late must still be heard, since it is gone then.
    request(actor, caf::infinite, leave_node{})
        .then([this, id = x.hand_off, session = session](
                  const departed& how) { left(id, session, how); },
              [this, id = x.hand_off, session = session](const caf::error&) {
                stayed(id, session);
              });
  }
}

void members::left(uint64_t hand_off, const entity_id& session, const departed& x) {
  const auto at = departures_.find(hand_off);
  if (at == departures_.end()) {
    // The hand-off was given up meanwhile, and this one left nevertheless.
    if (x.has_turn && parts_.routes->of(shard_of(session)).where == route::kind::here) {
      parts_.arrivals->add(x.turn);
      go_on_here({x.turn});
    }
    return;
  }
  if (x.has_turn)
    at->second.turns.push_back(x.turn);
  stayed(hand_off, session);
}

/// It is gone, by itself or by a crash: then PostgreSQL has what there is to know.
void members::stayed(uint64_t hand_off, const entity_id& session) {
  const auto at = departures_.find(hand_off);
  if (at == departures_.end())
    return;
  at->second.staying.erase(session);
  if (at->second.staying.empty())
    released(hand_off);
}

void members::released(uint64_t hand_off) { happened(shards_released{hand_off}); }

void members::carry(const give_leases& x) {
  query(sql::cluster::give(machine_.self(), x.to, x.shards),
        [this, id = x.hand_off](sql::answer<sql::cluster::epochs>& out) {
          if (auto* moved = std::get_if<0>(&out))
            happened(leases_given{id, std::move(*moved)});
          else
            happened(give_unknown{id});
        });
}

void members::carry(const send_snapshots& x) {
  const auto at = departures_.find(x.hand_off);
  if (at == departures_.end())
    return;
  handed_over_frame out;
  out.shards = x.shards;
  out.turns = std::move(at->second.turns);  // those that stay were taken out before
  parts_.mesh->hand_over(x.to, out);
  parts_.probe.handed_off(std::chrono::duration<double>(clock::now() - at->second.began).count(),
                          at->second.sessions);
  departures_.erase(at);
}

void members::carry(const keep_shards& x) {
  const auto at = departures_.find(x.hand_off);
  if (at == departures_.end())
    return;
  // Others of the same hand-off may have moved: their snapshots are sent after this.
  const auto ours = set_of(x.shards);
  for (const auto& [session, actor] : at->second.staying)
    if (contains(ours, session))
      caf::anon_send(actor, stay_on_node{});
  std::vector<moving_turn> back;
  for (const auto& turn : at->second.turns)
    if (contains(ours, turn.session))
      back.push_back(turn);
  forget_departures(x.shards);
  for (const auto& turn : back)
    parts_.arrivals->add(turn);
  go_on_here(back);
  // Those that only wait are nobody's snapshot.
  to_recover_.insert(to_recover_.end(), x.shards.begin(), x.shards.end());
  recover();
}

/// Nobody waits any more for sessions of these shards to leave. A hand-off of which nothing is left
/// is forgotten, if its leases are not being given.
void members::forget_departures(const std::vector<shard_id>& shards) {
  const auto gone = set_of(shards);
  std::vector<uint64_t> all_gone;
  for (auto i = departures_.begin(); i != departures_.end();) {
    auto& x = i->second;
    const bool waited = !x.staying.empty();
    std::erase_if(x.staying, [&](const auto& y) { return contains(gone, y.first); });
    std::erase_if(x.turns, [&](const auto& y) { return contains(gone, y.session); });
    std::erase_if(x.shards, [&](shard_id y) { return gone[y.value]; });
    if (waited && x.staying.empty() && !x.shards.empty())
      all_gone.push_back(i->first);
    i = x.shards.empty() ? departures_.erase(i) : std::next(i);
  }
  for (const auto id : all_gone)
    released(id);
}

void members::carry(const lose_shards& x) {
  (void)parts_.arrivals->take(x.shards);
  forget_departures(x.shards);
  std::erase_if(to_recover_, [&](shard_id s) {
    return std::find(x.shards.begin(), x.shards.end(), s) != x.shards.end();
  });
  parts_.entities->drop(x.shards);
}

}  // namespace kgents::runtime::cluster
