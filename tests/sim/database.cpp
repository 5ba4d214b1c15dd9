#include "tests/sim/database.hpp"

#include <algorithm>

namespace kgents::sim {

std::vector<std::string> turn_row::durable() const {
  if (ended())
    return answer;
  std::vector<std::string> out;
  for (const auto& [index, text] : chunks) {
    if (index != out.size())
      break;
    out.push_back(text);
  }
  return out;
}

turn_row* session_row::find(turn_id id) {
  for (auto& x : turns)
    if (x.id == id)
      return &x;
  return nullptr;
}

const member_row* database::find(node_id id) const {
  for (const auto& x : members)
    if (x.value.id == id)
      return &x;
  return nullptr;
}

member_row* database::find(node_id id) {
  return const_cast<member_row*>(std::as_const(*this).find(id));
}

bool database::lives(node_id id) const {
  const auto* x = find(id);
  return x && x->value.state != member_state::dead;
}

bool database::counts(node_id id) const {
  const auto* x = find(id);
  return x && (x->value.state == member_state::up || x->value.state == member_state::leaving);
}

void database::changed() { changes.push_back(++version_); }

void database::bury(member_row& x) {
  if (x.value.state == member_state::dead)
    return;
  x.value.state = member_state::dead;
  x.ended_at = time_.now();
  changed();
}

node_id database::join(const std::string& name, const std::vector<std::string>& roles,
                       process_number who) {
  for (auto& x : members)
    if (x.value.name == name)
      bury(x);
  member_row row;
  row.value.id = node_id{++next_node_};
  row.value.name = name;
  row.value.host = name;
  row.value.roles = roles;
  row.process = who;
  members.push_back(std::move(row));
  changed();
  return node_id{next_node_};
}

cluster_view database::view(uint64_t known) const {
  cluster_view out;
  out.version = version_;
  for (const auto& x : members)
    if (x.value.state != member_state::dead || time_.now() - x.ended_at < 2min)
      out.members.push_back(x.value);
  if (known != version_)
    out.leases = leases;
  return out;
}

void database::beat(node_id self, member_state state) {
  auto* x = find(self);
  if (!x || x->value.state == member_state::dead)
    return;
  if (x->value.state < state) {
    x->value.state = state;
    changed();
  }
  ++x->value.beat;
}

void database::suspect(node_id self, node_id target) {
  auto* x = find(target);
  if (self == target || !counts(self) || !x || x->value.state == member_state::dead)
    return;
  auto& suspects = x->value.suspects;
  if (std::find(suspects.begin(), suspects.end(), self) == suspects.end())
    suspects.push_back(self);
  const auto heard =
      std::count_if(suspects.begin(), suspects.end(), [this](node_id y) { return counts(y); });
  const auto all = std::count_if(members.begin(), members.end(),
                                 [this](const member_row& y) { return counts(y.value.id); });
  if (heard >= 2 || (heard == 1 && all == 2 && counts(target)))
    bury(*x);
}

void database::trust(node_id self, node_id target) {
  if (auto* x = find(target); x && x->value.state != member_state::dead)
    std::erase(x->value.suspects, self);
}

void database::declare_dead(node_id self, node_id target, uint64_t beat) {
  auto* x = find(target);
  if (self != target && lives(self) && x && x->value.beat == beat)
    bury(*x);
}

database::epochs database::take(node_id self, const std::vector<shard_id>& shards) {
  epochs out;
  const auto* me = find(self);
  if (!me || me->value.state != member_state::up)
    return out;
  for (const auto shard : shards) {
    auto& lease = leases[shard.value];
    if (lives(lease.owner))
      continue;
    lease = {self, lease.epoch + 1};
    out.emplace_back(shard, lease.epoch);
  }
  if (!out.empty())
    changed();
  return out;
}

database::epochs database::give(node_id self, node_id to, const std::vector<shard_id>& shards) {
  epochs out;
  const auto* heir = find(to);
  if (self == to || !counts(self) || !heir || heir->value.state != member_state::up)
    return out;
  for (const auto shard : shards) {
    auto& lease = leases[shard.value];
    if (lease.owner != self)
      continue;
    lease = {to, lease.epoch + 1};
    out.emplace_back(shard, lease.epoch);
  }
  if (!out.empty())
    changed();
  return out;
}

void database::leave(node_id self) {
  for (auto& x : leases)
    if (x.owner == self)
      x.owner = {};
  if (auto* x = find(self))
    bury(*x);
}

void database::request_drain(const std::string& name) {
  for (auto& x : members)
    if (x.value.name == name && x.value.state != member_state::dead && !x.value.drain_requested) {
      x.value.drain_requested = true;
      changed();
    }
}

/// The fence, and the check of what it is for: under one epoch of a shard one process writes.
bool database::admits(fence x, process_number writer) {
  const auto& lease = leases[x.shard.value];
  if (lease.epoch != x.epoch && !fence_is_off)
    return false;
  const auto [at, first] = writers_.try_emplace({x.shard.value, x.epoch}, writer);
  const auto* owner = find(lease.owner);
  if (at->second != writer || (owner && owner->process != writer))
    throw violation("two processes write to shard " + std::to_string(x.shard.value) +
                    " under epoch " + std::to_string(x.epoch));
  return true;
}

database::begun database::begin_turn(size_t session, turn_id turn, fence lease,
                                     process_number writer) {
  if (!admits(lease, writer))
    return begun::fenced;
  auto& row = sessions[session];
  if (row.find(turn))
    return begun::joined;
  const auto waiting = std::count_if(row.turns.begin(), row.turns.end(), [](const turn_row& x) {
    return x.status == turn_status::queued;
  });
  const bool busy =
      std::any_of(row.turns.begin(), row.turns.end(), [](const turn_row& x) { return !x.ended(); });
  if (busy && waiting >= 8)
    return begun::full;
  turn_row x;
  x.id = turn;
  x.api_calls = 1;
  x.status = busy ? turn_status::queued : turn_status::running;
  row.turns.push_back(std::move(x));
  return busy ? begun::queued : begun::started;
}

database::claimed database::claim_turn(size_t session, turn_id turn, fence lease,
                                       process_number writer) {
  if (!admits(lease, writer))
    return {true, {}, {}};
  auto* x = sessions[session].find(turn);
  if (!x || x->ended())
    return {};
  x->status = turn_status::running;
  x->inherited = static_cast<uint32_t>(x->chunks.size());
  return {false, ++x->epoch, x->durable()};
}

database::end_outcome database::end_turn(size_t session, turn_id turn, lease_epoch epoch,
                                         std::vector<std::string> answer, fence lease,
                                         process_number writer) {
  if (!admits(lease, writer))
    return end_outcome::fenced;
  auto* x = sessions[session].find(turn);
  if (!x || x->ended() || x->epoch != epoch)
    return end_outcome::old_turn;
  for (const auto& [index, text] : x->chunks)
    if (index >= answer.size() || answer[index] != text)
      throw violation("the answer of a turn is not what was durable of it, at chunk " +
                      std::to_string(index) + ": '" + (index < answer.size() ? answer[index] : "") +
                      "' instead of '" + text + "'");
  x->status = turn_status::completed;
  x->answer = std::move(answer);
  x->chunks.clear();
  ++x->messages;
  ++x->llm_calls;
  return end_outcome::ended;
}

std::vector<turn_id> database::check_chunks(std::vector<chunk_row>& rows, process_number writer) {
  std::set<turn_id> refused;
  for (const auto& row : rows) {
    auto* x = sessions[row.session].find(row.turn);
    // In the order of the statement: the lease is read, not locked.
    if (!x || x->status != turn_status::running || x->epoch != row.epoch ||
        !admits(row.lease, writer))
      refused.insert(row.turn);
  }
  std::erase_if(rows, [&](const chunk_row& x) { return refused.contains(x.turn); });
  for (const auto& row : rows)
    ++sessions[row.session].find(row.turn)->batches;
  return {refused.begin(), refused.end()};
}

void database::commit_chunks(const std::vector<chunk_row>& rows) {
  for (const auto& row : rows) {
    auto* x = sessions[row.session].find(row.turn);
    --x->batches;
    x->chunks.try_emplace(row.index, row.text);
  }
}

}  // namespace kgents::sim
