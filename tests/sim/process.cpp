#include "tests/sim/process.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time query_deadline = 1500ms;
constexpr sim_time tick_every = 100ms;
constexpr sim_time drain_within = 6s;

}  // namespace

process::process(world& w, process_number number, std::string name)
    : all{w}, number_{number}, name_{std::move(name)}, machine_{{}} {}

sim_time process::now() const { return all.time.now(); }

/// This machine's clock: it starts anywhere and runs a little fast or slow.
cluster::local_time process::local() const {
  const auto here = static_cast<double>(all.time.now().count()) * clock_rate_;
  return std::chrono::duration_cast<cluster::local_time>(sim_time{static_cast<int64_t>(here)} +
                                                         clock_offset_);
}

void process::run(std::function<void()> work) {
  if (paused_)
    backlog_.push_back(std::move(work));
  else
    work();
}

void process::at(sim_time when, std::function<void()> work) {
  all.time.at(when, [this, life = life_, work = std::move(work)]() mutable {
    if (alive_ && life == life_)
      run(std::move(work));
  });
}

void process::after(sim_time delay, std::function<void()> work) {
  at(now() + delay, std::move(work));
}

void process::start() {
  alive_ = true;
  paused_ = false;
  ++life_;
  clock_offset_ = all.rng.between(10s, 10000s);
  clock_rate_ = 1 + (static_cast<double>(all.rng.below(2001)) - 1000) * 1e-5;  // +-1 %
  machine_ = cluster::coordinator{{.name = name_, .roles = all.roles_of(number_)}};
  routes_ = std::make_unique<cluster::routes>();
  all.logs.push_back(std::make_unique<runtime::session_logs>());
  logs = all.logs.back().get();
  port = std::make_unique<class port>(*this);
  writer = std::make_unique<class log_writer>(*this);
  mirrors = std::make_unique<class mirrors>(*this);
  feeds = std::make_unique<class feeds>(*this);
  turns = std::make_unique<class turns>(*this);
  readers = std::make_unique<class readers>(*this);
  drain_began_ = false;
  refresh_routes();
  tick();
}

void process::kill() {
  if (!alive_)
    return;
  all.say(name_ + " is killed");
  for (auto& [which, x] : sessions_)
    x->stop();
  alive_ = false;
  paused_ = false;
  ++life_;
  all.net.killed(*this);
  backlog_.clear();
  events_.clear();
  busy_ = false;
  sessions_.clear();
  arrivals_.clear();
  departures_.clear();
  to_recover_.clear();
  recovering_ = false;
  feeds.reset();
  for (const auto& x : all.followers)
    x->node_lost(*this);  // their connections are reset
}

void process::pause() {
  if (!runs())
    return;
  all.say(name_ + " stands still");
  paused_ = true;
  ++pauses_;
  all.net.paused(*this);
}

void process::resume() {
  if (!alive_ || !paused_)
    return;
  all.say(name_ + " goes on");
  paused_ = false;
  ++pauses_;
  const auto life = life_;
  for (auto& work : std::exchange(backlog_, {}))
    if (life == life_)
      run(std::move(work));
}

void process::drain() {
  if (!alive_ || drain_began_)
    return;
  all.say(name_ + " drains");
  drain_began_ = true;
  after(0us, [this] { happened(cluster::drain_asked{}); });
  // Whatever is left then goes as after a crash.
  after(drain_within, [this] { exit_when_done(now()); });
}

void process::exit_when_done(sim_time deadline) {
  if (turns->running() > 0 && now() < deadline) {
    after(50ms, [this, deadline] { exit_when_done(deadline); });
    return;
  }
  query<bool>(
      [&w = all, self = machine_.self()]() -> std::optional<bool> {
        w.db.leave(self);
        return true;
      },
      [this](std::optional<bool>) { kill(); }, query_deadline);
}

void process::request(std::function<bool()> execute, std::function<void(bool)> answered,
                      sim_time deadline) {
  auto open = std::make_shared<bool>(true);
  auto answer = [open, answered = std::move(answered)](bool known) {
    if (std::exchange(*open, false))
      answered(known);
  };
  after(deadline, [answer] { answer(false); });
  auto& faults = all.faults;
  const auto there = [&faults, &w = all] {
    return faults.slow_database ? w.rng.between(1ms, 2500ms) : w.rng.between(100us, 3ms);
  };
  const auto cut = [&faults, n = number_] {
    return faults.database_away || faults.cut_from_database.contains(n);
  };
  const auto failed = [this, answer, &faults] {
    if (!faults.database_hangs)
      after(1ms, [answer] { answer(false); });
  };
  if (cut()) {
    failed();
    return;
  }
  // The server goes on with what it has been asked, whatever becomes of who asked.
  auto attempt = std::make_shared<std::function<void()>>();
  *attempt = [this, life = life_, execute = std::move(execute), answer, cut, failed, there,
              weak = std::weak_ptr{attempt}] {
    const auto self = weak.lock();
    const bool ours = alive_ && life == life_;
    if (cut()) {
      if (ours)
        failed();
      return;
    }
    if (!execute()) {
      all.time.at(now() + 500us, [self] { (*self)(); });
      return;
    }
    all.tell_changes();
    if (!ours)
      return;
    if (all.faults.lose_answers && all.rng.chance(all.stress.lost_answers))
      failed();
    else
      after(there() / 2, [answer, cut, failed] {
        if (cut())
          failed();
        else
          answer(true);
      });
  };
  all.time.at(now() + there(), [attempt] { (*attempt)(); });
}

void process::tick() {
  happened(cluster::tick{});
  if (!to_recover_.empty())
    recover();
  all.net.dial(*this);
  mirrors->tick();
  after(tick_every, [this] { tick(); });
}

void process::notified() {
  after(all.rng.between(100us, 5ms), [this] { happened(cluster::poked{}); });
}

void process::link_is_down(node_id peer) {
  port->link_down(peer);
  feeds->link_down(peer);
  mirrors->link_down(peer);
  turns->link_down(peer);
  happened(cluster::link_down{peer});
}

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
