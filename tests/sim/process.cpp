#include "tests/sim/process.hpp"

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time tick_every = 100ms;

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

}  // namespace kgents::sim
