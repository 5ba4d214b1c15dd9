#include "tests/sim/world.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "runtime/cluster/placement.hpp"

namespace kgents::sim {
namespace {

/// After the last fault: when every shard must be where it belongs, and when every message must be
/// stored; posters pause between theirs. After both: when every answer must be complete and heard;
/// slow clients take their time.
constexpr sim_time owners_within = 16s;
constexpr sim_time messages_within = 60s;
constexpr sim_time answers_within = 45s;

constexpr uint32_t fault_kinds = 13;

}  // namespace

world::world(options o)
    : how{std::move(o)}, rng{how.seed}, db{time}, net{time, rng, stress.slow_frames, nodes} {
  const auto count = rng.between(2, 5);
  for (size_t i = 0; i <= count; ++i)  // the last one joins later
    nodes.push_back(std::make_unique<process>(*this, i, "node-" + std::to_string(i)));
  const auto sessions = rng.between(2, 7);
  db.sessions.resize(sessions);
  for (size_t i = 0; i < sessions; ++i) {
    entity_id id{entity_kind::session, {}, {}};
    for (auto& x : id.key.bytes)
      x = static_cast<uint8_t>(rng.next());
    entities_.push_back(id);
    shards_.push_back(shard_of(id));
    posters.push_back(std::make_unique<poster>(*this, i, rng.between(1, 5)));
    for (auto n = rng.below(4); n > 0; --n)
      followers.push_back(std::make_unique<follower>(*this, i, rng.chance(0.2)));
  }
  db.fence_is_off = broken("fence");
  choose_emphasis();
}

void world::choose_emphasis() {
  if (rng.chance(0.3))
    stress.slow_frames = 0.3;
  if (rng.chance(0.3))
    stress.slow_commits = 0.3;
  if (rng.chance(0.3))
    stress.slow_hops = 0.3;
  if (rng.chance(0.3))
    stress.lost_answers = 0.3;
  do {
    for (uint32_t kind = 0; kind < fault_kinds; ++kind)
      if (rng.chance(0.5))
        stress.fault_kinds |= 1u << kind;
  } while (stress.fault_kinds == 0);
}

world::~world() {
  followers.clear();
  nodes.clear();
}

size_t world::session_of(const entity_id& id) const {
  for (size_t i = 0; i < entities_.size(); ++i)
    if (entities_[i] == id)
      return i;
  throw violation("a session is unknown");
}

turn_id world::turn(size_t which, uint64_t number) {
  turn_id out;
  out.value.bytes[0] = static_cast<uint8_t>(which + 1);
  std::memcpy(&out.value.bytes[8], &number, sizeof number);
  return out;
}

uint32_t world::chunks_of(turn_id turn) const {
  return 1 + static_cast<uint32_t>(dice{how.seed ^ std::hash<uuid>{}(turn.value)}.below(60));
}

/// The epoch is in it: an answer made of two that do not fit is found.
std::string world::text_of(turn_id turn, uint32_t index, lease_epoch epoch) {
  return std::to_string(turn.value.bytes[0]) + "." + std::to_string(turn.value.bytes[8]) + "." +
         std::to_string(index) + "@" + std::to_string(epoch) + " ";
}

/// Some nodes serve the edge only.
const std::vector<std::string>& world::roles_of(process_number number) const {
  static const std::vector<std::string> all{"gateway", "kgent"}, edge{"gateway"};
  return how.seed % 5 == 0 && number == 1 ? edge : all;
}

std::optional<std::vector<turn_row>> world::unfinished(size_t which) const {
  std::vector<turn_row> out;
  for (const auto& x : db.sessions[which].turns)
    if (!x.ended())
      out.push_back(x);
  return out;
}

std::vector<shard_id> world::unlocked(std::vector<shard_id> shards) {
  if (rng.chance(0.1))
    std::erase_if(shards, [this](shard_id) { return rng.chance(0.2); });
  return shards;
}

void world::tell_changes() {
  for (auto n = std::exchange(db.changes, {}).size(); n > 0; --n)
    for (const auto& x : nodes)
      if (x->alive() && !faults.database_away && !faults.cut_from_database.contains(x->number()) &&
          rng.chance(0.9))
        x->notified();
}

void world::say(const std::string& what) const {
  if (how.trace)
    std::printf("%10.3f s  %s\n", static_cast<double>(time.now().count()) / 1e6, what.c_str());
}

process* world::some_node() {
  std::vector<process*> ready;
  for (const auto& x : nodes)
    if (x->runs() && x->machine().state() != member_state::joining)
      ready.push_back(x.get());
  return ready.empty() ? nullptr : ready[rng.below(ready.size())];
}

void world::one_fault(sim_time until) {
  const auto number = rng.below(nodes.size());
  auto& node = *nodes[number];
  auto& other = *nodes[(number + 1 + rng.below(nodes.size() - 1)) % nodes.size()];
  const auto ends = std::min(
      until, time.now() + (rng.chance(0.5) ? rng.between(50ms, 3s) : rng.between(3s, 15s)));
  const auto lose_clients = [this](process& x, double p) {
    for (const auto& f : followers)
      if (rng.chance(p))
        f->node_lost(x);
  };
  const auto start = [](process& x) {
    if (!x.alive())
      x.start();
  };
  auto kind = rng.below(fault_kinds);
  while ((stress.fault_kinds >> kind & 1) == 0)
    kind = rng.below(fault_kinds);
  switch (kind) {
    case 0:
    case 1:
      node.kill();
      time.at(ends, [&node, start] { start(node); });
      break;
    case 2:
      node.pause();
      time.at(std::min(ends, time.now() + 3s), [&node, lose_clients] {
        if (node.is_paused())
          lose_clients(node, 0.8);
      });
      time.at(ends, [&node] { node.resume(); });
      break;
    case 3:
    case 4:
      say("cut " + node.name() + " -> " + other.name());
      net.block(node.number(), other.number());
      if (rng.chance(0.5))
        net.block(other.number(), node.number());
      time.at(ends, [this, &node, &other] {
        net.unblock(node.number(), other.number());
        net.unblock(other.number(), node.number());
      });
      break;
    case 5: {
      say("cut " + node.name() + " off its peers");
      const auto way = rng.below(3);
      for (const auto& x : nodes) {
        if (x.get() == &node)
          continue;
        if (way != 1)
          net.block(node.number(), x->number());
        if (way != 2)
          net.block(x->number(), node.number());
      }
      if (rng.chance(0.3))
        faults.cut_from_database.insert(node.number());
      time.at(ends, [this, &node] {
        for (const auto& x : nodes) {
          net.unblock(node.number(), x->number());
          net.unblock(x->number(), node.number());
        }
        faults.cut_from_database.erase(node.number());
      });
      break;
    }
    case 6:
      say("a link of " + node.name() + " breaks");
      net.break_one(node.number(), other.number());
      break;
    case 7:
      say("cut " + node.name() + " off PostgreSQL");
      faults.cut_from_database.insert(node.number());
      time.at(ends, [this, &node] { faults.cut_from_database.erase(node.number()); });
      break;
    case 8:
      say("PostgreSQL is away");
      faults.database_away = true;
      faults.database_hangs = rng.chance(0.5);
      time.at(std::min(ends, time.now() + 8s),
              [this] { faults.database_away = faults.database_hangs = false; });
      break;
    case 9:
      say("PostgreSQL is slow");
      faults.slow_database = true;
      time.at(std::min(ends, time.now() + 4s), [this] { faults.slow_database = false; });
      break;
    case 10:
      say("PostgreSQL's answers are lost");
      faults.lose_answers = true;
      time.at(ends, [this] { faults.lose_answers = false; });
      break;
    case 11:
      if (rng.chance(0.5))
        node.drain();
      else
        db.request_drain(node.name());
      lose_clients(node, 0.5);
      time.at(ends, [&node, start] { start(node); });
      break;
    case 12:
      for (const auto& f : followers)
        if (rng.chance(0.3))
          f->node_lost(node);
      break;
  }
}

void world::plan_faults(sim_time until) {
  for (auto n = rng.between(1, 12); n > 0; --n)
    time.at(rng.between(2s, until), [this, until] { one_fault(until); });
}

void world::heal() {
  say("all is well from now on");
  faults = {};
  net.unblock_all();
  for (const auto& x : nodes) {
    x->resume();
    if (!x->alive())
      x->start();
  }
  calm_since_ = time.now();
}

/// Every now and then: at most one process acts on a shard under one epoch; and what was drained
/// comes back, as in a rolling update.
void world::look() {
  for (uint16_t i = 0; i < shard_count; ++i) {
    std::set<lease_epoch> epochs;
    for (const auto& x : nodes)
      if (x->alive() && x->machine().holds(shard_id{i}) == cluster::coordinator::hold::held &&
          !epochs.insert(x->machine().lease(shard_id{i}).epoch).second)
        throw violation("two nodes hold shard " + std::to_string(i) + " under one epoch");
  }
  for (const auto& x : nodes) {
    if (!x->alive() && (time.now() > calm_since_ || rng.chance(0.1)))
      x->start();
  }
  time.at(time.now() + 500ms, [this] { look(); });
}

void world::check_owners() const {
  const auto view = db.view(0);
  const auto targets = cluster::place_all(view.members);
  for (const auto& x : nodes)
    if (x->machine().state() != member_state::up)
      throw violation(x->name() + " is not up");
  for (uint16_t i = 0; i < shard_count; ++i) {
    const auto lease = view.leases[i];
    if (!targets[i] || lease.owner != targets[i])
      throw violation("shard " + std::to_string(i) + " is node " +
                      std::to_string(lease.owner.value) + "'s and should be " +
                      std::to_string(targets[i].value) + "'s");
    for (const auto& x : nodes)
      if (x->self() == lease.owner &&
          x->machine().holds(shard_id{i}) != cluster::coordinator::hold::held)
        throw violation(x->name() + " does not serve its shard " + std::to_string(i));
  }
}

void world::check_answers() const {
  for (const auto& p : posters) {
    if (!p->done())
      throw violation("session " + std::to_string(p->which()) + ": a message is not acknowledged");
    for (const auto turn : p->acknowledged)
      if (!const_cast<session_row&>(db.sessions[p->which()]).find(turn))
        throw violation("an acknowledged message is lost");
  }
  for (size_t i = 0; i < db.sessions.size(); ++i)
    for (const auto& x : db.sessions[i].turns) {
      const auto name =
          "turn " + std::to_string(x.id.value.bytes[8]) + " of session " + std::to_string(i);
      if (!x.ended())
        throw violation(name + " has not ended, with " + std::to_string(x.chunks.size()) + " of " +
                        std::to_string(chunks_of(x.id)) + " chunks under epoch " +
                        std::to_string(x.epoch));
      if (x.messages != 1 || x.llm_calls != 1 || x.api_calls != 1)
        throw violation(name + " was counted or answered more than once");
      if (x.answer.size() != chunks_of(x.id))
        throw violation(name + " has " + std::to_string(x.answer.size()) + " chunks instead of " +
                        std::to_string(chunks_of(x.id)));
      for (uint32_t k = 0; k < x.answer.size(); ++k)
        if (x.answer[k].find("." + std::to_string(k) + "@") == std::string::npos)
          throw violation(name + " says '" + x.answer[k] + "' as chunk " + std::to_string(k));
    }
  for (const auto& f : followers) {
    const auto& turns = db.sessions[f->which()].turns;
    const auto name = "a client of session " + std::to_string(f->which()) + " on " + f->where();
    if (f->heard.size() != turns.size())
      throw violation(name + " heard " + std::to_string(f->heard.size()) + " of " +
                      std::to_string(turns.size()) + " turns");
    for (size_t i = 0; i < turns.size(); ++i) {
      if (!f->heard[i].complete)
        throw violation(name + " did not hear the end of turn " + std::to_string(i) + ": " +
                        std::to_string(f->heard[i].chunks.size()) + " of " +
                        std::to_string(turns[i].answer.size()) + " chunks");
      if (f->heard[i].turn != turns[i].id || f->heard[i].chunks != turns[i].answer)
        throw violation(name + " heard another text than was stored");
    }
  }
}

void world::run() {
  for (size_t i = 0; i < nodes.size(); ++i)
    time.at(i + 1 == nodes.size() ? rng.between(3s, 15s) : rng.between(0us, 2s), [this, i] {
      if (!nodes[i]->alive())
        nodes[i]->start();
    });
  for (const auto& x : posters)
    time.at(rng.between(1s, 12s), [&p = *x] { p.next(); });
  for (const auto& x : followers)
    time.at(rng.between(1s, 12s), [&f = *x] { f.connect(); });
  time.at(20s, [this] { look(); });
  const auto until = rng.between(10s, 30s);
  plan_faults(until);
  time.run_until(until);
  heal();
  time.run_until(until + owners_within);
  check_owners();
  for (;;) {
    time.run_until(time.now() + 1s);
    bool done = true;
    auto last = until;
    for (const auto& p : posters) {
      done = done && p->done();
      last = std::max(last, p->last_stored());
    }
    if (time.now() >= (done ? last + answers_within : until + messages_within))
      break;
    if (!done)
      continue;
    try {
      check_answers();
      return;
    } catch (const violation&) {
      // Not yet: the last look tells.
    }
  }
  check_answers();
}

}  // namespace kgents::sim
