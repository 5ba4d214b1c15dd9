#include "runtime/cluster/members.hpp"

#include <boost/asio/post.hpp>
#include <algorithm>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

#include "runtime/limits.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

namespace {

using clock = std::chrono::steady_clock;

constexpr auto tick_every = std::chrono::milliseconds{100};

/// Sessions that could not be activated (the database was out of reach, say) are tried again every
/// so many ticks.
constexpr uint64_t activate_again_ticks = 3;

local_time monotonic_now() {
  return std::chrono::duration_cast<local_time>(clock::now().time_since_epoch());
}

}  // namespace

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
  stopped_ = true;
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
  if (stopped_)
    return;  // the answer to a statement that outlived us
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
  const auto* peer = machine_.view().find(x.peer);
  // One that leaves closes its links before the view says that it has left.
  if (peer == nullptr || peer->state != member_state::leaving)
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
