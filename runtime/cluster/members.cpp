#include "runtime/cluster/members.hpp"

#include <boost/asio/post.hpp>
#include <algorithm>
#include <bitset>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

#include "runtime/limits.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/turns.hpp"

namespace kgents::runtime::cluster {

namespace {

using clock = std::chrono::steady_clock;

constexpr auto tick_every = std::chrono::milliseconds{100};

/// A statement of membership or leases: shorter than a heartbeat's interval, so that one that hangs
/// does not keep the next from being tried.
constexpr auto query_deadline = std::chrono::milliseconds{1500};

/// Sessions that could not be activated (the database was out of reach, say) are tried again every
/// so many ticks.
constexpr uint64_t activate_again_ticks = 3;

std::bitset<shard_count> set_of(const std::vector<shard_id>& shards) {
  std::bitset<shard_count> out;
  for (const auto x : shards)
    out.set(x.value);
  return out;
}

bool contains(const std::bitset<shard_count>& shards, const entity_id& x) {
  return shards[shard_of(x).value];
}

local_time monotonic_now() {
  return std::chrono::duration_cast<local_time>(clock::now().time_since_epoch());
}

}  // namespace

void arrivals::add(const moving_turn& x) {
  std::lock_guard guard{mutex_};
  turns_[x.session] = x;
}

std::optional<moving_turn> arrivals::take(const entity_id& session) {
  std::lock_guard guard{mutex_};
  const auto at = turns_.find(session);
  if (at == turns_.end())
    return std::nullopt;
  auto out = at->second;
  turns_.erase(at);
  return out;
}

std::vector<moving_turn> arrivals::take(const std::vector<shard_id>& shards) {
  const auto gone = set_of(shards);
  std::vector<moving_turn> out;
  std::lock_guard guard{mutex_};
  for (auto i = turns_.begin(); i != turns_.end();)
    if (contains(gone, i->first)) {
      out.push_back(i->second);
      i = turns_.erase(i);
    } else {
      ++i;
    }
  return out;
}

members::members(caf::actor_config& config, io_unit* unit, identity who, timing numbers, parts with)
    : pinned_actor(config, unit),
      identity_{std::move(who)},
      parts_{std::move(with)},
      machine_{identity_.who, numbers},
      status_{std::make_shared<const cluster_status>()} {
  timer_.on_fire([this] { tick(); });
}

caf::behavior members::make_behavior() {
  set_default_handler(caf::drop);
  refresh_routes();
  tick();
  return {[](caf::unit_t) {}};
}

void members::on_exit() {
  timer_.disarm();
  departures_.clear();
}

mesh::handlers members::handlers() {
  return {.link_up = [this](node_id x) { happened(link_up{x}); },
          .link_down =
              [this](node_id x) {
                lost_at_ = clock::now();
                happened(link_down{x});
              },
          .handed_over =
              [this](node_id from, const handed_over_frame& x) {
                for (const auto& turn : x.turns)
                  parts_.arrivals->add(turn);
                happened(handed_over{from, x.shards, machine_.self()});
                go_on_here(x.turns);
              },
          .view_changed = [this] { happened(poked{}); }};
}

void members::look_after(const entity_id& id) {
  boost::asio::post(unit()->thread().context(), [this, id, keep = caf::strong_actor_ptr{ctrl()}] {
    to_activate_.insert(id);
    happened(poked{});
  });
}

void members::drain() {
  boost::asio::post(unit()->thread().context(),
                    [this, keep = caf::strong_actor_ptr{ctrl()}] { happened(drain_asked{}); });
}

void members::poke() {
  boost::asio::post(unit()->thread().context(),
                    [this, keep = caf::strong_actor_ptr{ctrl()}] { happened(poked{}); });
}

void members::tick() {
  happened(cluster::tick{});
  if (!to_recover_.empty())
    recover();
  if (++ticks_ % 10 == 0)
    publish();
  if (ticks_ % activate_again_ticks == 0)
    activate_again();
  unit()->thread().wheel().arm(timer_, tick_every);
}

/// Carrying out may make things happen at once (a link that is cut, say): they wait their turn.
void members::happened(event what) {
  events_.push_back(std::move(what));
  if (std::exchange(busy_, true))
    return;
  for (size_t i = 0; i < events_.size(); ++i) {
    const auto next = std::move(events_[i]);
    carry_out(machine_.apply(next, monotonic_now()));
  }
  events_.clear();
  busy_ = false;
}

void members::carry_out(const actions& all) {
  if (all.empty())
    return;
  const bool routes = std::any_of(all.begin(), all.end(), [](const action& x) {
    return std::holds_alternative<own_shards>(x) || std::holds_alternative<lose_shards>(x) ||
           std::holds_alternative<release_shards>(x) || std::holds_alternative<keep_shards>(x) ||
           std::holds_alternative<routes_changed>(x) || std::holds_alternative<fenced>(x) ||
           std::holds_alternative<send_snapshots>(x);
  });
  if (routes)
    refresh_routes();
  for (const auto& x : all)
    std::visit([this](const auto& y) { carry(y); }, x);
  if (!routes)
    return;
  parts_.ports->routes_changed();
  parts_.mesh->routes_changed();
  publish();
  parts_.probe.changed();
}

void members::refresh_routes() {
  using hold = coordinator::hold;
  for (uint16_t i = 0; i < shard_count; ++i) {
    const shard_id shard{i};
    const auto lease = machine_.lease(shard);
    route to{route::kind::wait, lease.owner, lease.epoch};
    const auto held = machine_.holds(shard);
    if (held == hold::held)
      to.where = route::kind::here;
    else if (held == hold::none && lease.owner && lease.owner != machine_.self())
      to.where = route::kind::there;
    parts_.routes->set(shard, to);
  }
}

void members::publish() {
  auto out = std::make_shared<cluster_status>();
  out->self = machine_.self();
  out->state = machine_.state();
  out->view = machine_.view();
  out->moves = machine_.moves();
  for (uint16_t i = 0; i < shard_count; ++i) {
    out->view.leases[i] = machine_.lease(shard_id{i});
    const auto held = machine_.holds(shard_id{i});
    out->held += held == coordinator::hold::held;
    out->in_transit +=
        held == coordinator::hold::arriving || held == coordinator::hold::leaving;
  }
  for (const auto& x : out->view.members)
    if (parts_.mesh->links().linked(x.id))
      out->linked.push_back(x.id);
  status_ = std::move(out);
}

/// The answer comes on the pool's thread and is dealt with on ours.
template <class T, class Done>
void members::query(sql::query<T> what, Done done) {
  what.work.deadline = clock::now() + query_deadline;
  sql::run(*parts_.control, std::move(what),
           [this, keep = caf::strong_actor_ptr{ctrl()}, done](sql::answer<T> out) {
             boost::asio::post(unit()->thread().context(),
                               [keep, done, out = std::make_shared<sql::answer<T>>(
                                                std::move(out))] { done(*out); });
           });
}

void members::carry(const cluster::join&) {
  const auto& x = identity_;
  query(sql::cluster::join({x.who.name, x.host, x.port, x.who.roles, protocol_version}),
        [this](sql::answer<node_id>& out) {
          if (const auto* self = std::get_if<0>(&out)) {
            said_.clear();
            log::info("joining the cluster", {{"node", self->value}});
            self_ = self->value;
            parts_.mesh->links().identify(*self);
            happened(joined{*self});
            return;
          }
          const auto& why = std::get<1>(out);
          if (why.what == sql::failure::kind::rejected && std::exchange(said_, why.message) != said_)
            log::warn("cannot join the cluster", {{"error", why.message}});
          happened(database_failed{});
        });
}

void members::saw(sql::answer<sql::cluster::seen> out, bool beaten) {
  if (auto* x = std::get_if<0>(&out))
    happened(viewed{std::move(x->view), beaten});
  else
    happened(database_failed{});
}

void members::carry(const beat& x) {
  query(sql::cluster::beat(machine_.self(), x.state, machine_.view().version),
        [this](sql::answer<sql::cluster::seen>& out) { saw(std::move(out), true); });
}

void members::carry(const read_view&) {
  query(sql::cluster::view(machine_.self(), machine_.view().version),
        [this](sql::answer<sql::cluster::seen>& out) { saw(std::move(out), false); });
}

void members::carry(const keep_links& x) {
  std::vector<transport_peer> peers;
  for (const auto& m : x.peers)
    peers.push_back({m.id, m.name, m.host, m.port});
  parts_.mesh->links().keep(std::move(peers));
}

void members::carry(const suspect& x) {
  log::warn("suspecting a node: its link is lost", {{"node", x.peer.value}});
  query(sql::cluster::suspect(machine_.self(), x.peer), [this](sql::answer<bool>& out) {
    if (const auto* dead = std::get_if<0>(&out); dead != nullptr && *dead)
      happened(poked{});
  });
}

void members::carry(const trust& x) {
  query(sql::cluster::trust(machine_.self(), x.peer), [](auto&) {});
}

void members::carry(const declare_dead& x) {
  log::warn("a node is silent: declaring it dead", {{"node", x.peer.value}});
  query(sql::cluster::declare_dead(machine_.self(), x.peer, x.beat),
        [this](sql::answer<bool>&) { happened(poked{}); });
}

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

void members::carry(const poke_peers&) {
  std::vector<node_id> peers;
  for (const auto& x : machine_.view().members)
    if (x.id != machine_.self())
      peers.push_back(x.id);
  parts_.mesh->tell_view_changed(peers);
}

void members::carry(const fenced& x) {
  log::warn("this node was replaced in the cluster; it joins again as a new one",
            {{"why", x.why}, {"node", machine_.self().value}});
  departures_.clear();
  self_ = 0;
  parts_.mesh->links().identify({});
}

void members::carry(const state_changed& x) {
  log::info("cluster", {{"state", to_string(x.state)}, {"node", machine_.self().value}});
  publish();
  parts_.state_changed(x.state);
}

void members::carry(const drained&) { parts_.drained(); }

void members::carry(const cluster::stop& x) { parts_.stop(x.why); }

}  // namespace kgents::runtime::cluster
