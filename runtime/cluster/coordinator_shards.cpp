#include <algorithm>

#include "runtime/cluster/coordinator.hpp"

/// Leases and hand-off: which shards this node takes, gives away, waits for and loses. Membership
/// is in coordinator.cpp.
namespace kgents::runtime::cluster {
namespace {

using namespace std::chrono_literals;

/// After a hand-off that failed, the next one to the same node comes that late at first, and at
/// most.
constexpr local_time pace_first = 250ms;
constexpr local_time pace_last = 2s;
/// Leases that we asked for and did not get are asked for again, if they are still free.
constexpr local_time take_again = 200ms;
constexpr local_time take_retry = 500ms;

}  // namespace

coordinator::hold coordinator::holds(shard_id shard) const noexcept {
  return slots_[shard.value].what;
}

shard_lease coordinator::lease(shard_id shard) const noexcept {
  auto out = known_[shard.value];
  if (suspended_ && out.owner == self_)
    out.owner = {};
  return out;
}

std::vector<coordinator::move> coordinator::moves() const {
  std::vector<move> out;
  for (const auto& [id, x] : hand_offs_)
    out.push_back({x.to, x.shards.size(), x.since});
  return out;
}

/// Merges what PostgreSQL says into what we know: the higher epoch is the newer one.
void coordinator::adopt_leases(const shard_leases& seen) {
  std::vector<shard_id> lost;
  for (uint16_t i = 0; i < shard_count; ++i) {
    auto& known = known_[i];
    auto& slot = slots_[i];
    if (seen[i].epoch < known.epoch || seen[i] == known)
      continue;
    const auto before = std::exchange(known, seen[i]);
    routes_changed_ = true;
    placing_ = true;
    if (slot.what == hold::leaving && known.owner != self_) {
      // The answer of give_leases is on its way, or the next view settles it.
      const auto found = hand_offs_.find(slot.hand_off);
      if (found != hand_offs_.end() && found->second.at != stage::releasing)
        continue;
    }
    if (slot.what != hold::none) {
      detach(shard_id{i});
      slot = {};
      lost.push_back(shard_id{i});
    }
    if (known.owner == self_)
      slot.from = before.owner;
  }
  if (!lost.empty())
    out_.push_back(lose_shards{std::move(lost)});
}

/// Begins to own what is ours as far as we know.
void coordinator::claim() {
  if (!self_ || suspended_ || !placing_)
    return;
  own_shards own{{}, true};
  for (uint16_t i = 0; i < shard_count; ++i) {
    auto& slot = slots_[i];
    if (known_[i].owner != self_ || slot.what != hold::none)
      continue;
    slot.epoch = known_[i].epoch;
    routes_changed_ = true;
    if (slot.from && slot.from != self_ && alive(slot.from) && linked(slot.from)) {
      slot.what = hold::arriving;
      slot.until = now_ + numbers_.snapshot_wait;
      arrive_at_ = std::min(arrive_at_, slot.until);
    } else {
      slot.what = hold::held;
      own.shards.emplace_back(shard_id{i}, slot.epoch);
    }
  }
  if (!own.shards.empty())
    out_.push_back(std::move(own));
}

/// Gives up snapshots that did not come, and hand-offs that do not get on.
void coordinator::expire() {
  if (now_ >= arrive_at_) {
    arrive_at_ = local_time::max();
    own_shards own{{}, true};
    for (uint16_t i = 0; i < shard_count; ++i) {
      auto& slot = slots_[i];
      if (slot.what != hold::arriving)
        continue;
      if (now_ < slot.until) {
        arrive_at_ = std::min(arrive_at_, slot.until);
        continue;
      }
      slot.what = hold::held;
      own.shards.emplace_back(shard_id{i}, slot.epoch);
    }
    if (!own.shards.empty()) {
      placing_ = routes_changed_ = true;
      out_.push_back(std::move(own));
    }
  }
  std::vector<uint64_t> over;
  for (const auto& [id, x] : hand_offs_) {
    const auto* to = view_.find(x.to);
    if (x.at == stage::releasing && (now_ - x.since >= numbers_.hand_off_within || !linked(x.to) ||
                                     !to || to->state != member_state::up))
      over.push_back(id);
  }
  for (const auto id : over)
    undo(id);
}

void coordinator::on(const handed_over& x) {
  if (!self_ || (x.to && x.to != self_))
    return;
  own_shards own{{}, false};
  std::vector<shard_id> lost;
  for (const auto& [shard, epoch] : x.shards) {
    if (shard.value >= shard_count)
      continue;
    auto& known = known_[shard.value];
    auto& slot = slots_[shard.value];
    if (epoch < known.epoch || (epoch == known.epoch && known.owner != self_))
      continue;
    if (epoch == slot.epoch && (slot.what == hold::held || slot.what == hold::leaving))
      continue;  // came twice, or too late
    if (slot.what == hold::held || slot.what == hold::leaving) {
      detach(shard);
      lost.push_back(shard);
    }
    known = {self_, epoch};
    slot = {};
    slot.epoch = epoch;
    routes_changed_ = placing_ = true;
    if (suspended_)
      continue;
    slot.what = hold::held;
    own.shards.emplace_back(shard, epoch);
  }
  if (!lost.empty())
    out_.push_back(lose_shards{std::move(lost)});
  if (!own.shards.empty())
    out_.push_back(std::move(own));
}

void coordinator::place() {
  if (!self_ || suspended_ || state_ == member_state::joining || (!placing_ && now_ < place_at_))
    return;
  placing_ = false;
  place_at_ = local_time::max();
  // We may be asked to leave before our row says so.
  std::vector<cluster_member> up;
  std::vector<node_id> over;
  for (const auto& x : view_.members)
    if (x.state == member_state::up && !(x.id == self_ && leaving_)) {
      up.push_back(x);
      over.push_back(x.id);
    }
  if (over != targets_over_ || over.empty()) {
    targets_ = place_all(up);
    targets_over_ = std::move(over);
  }
  take();
  give();
}

/// Asks for what is nobody's and should be ours.
void coordinator::take() {
  if (taking_ || state_ != member_state::up)
    return;
  take_leases wanted;
  for (uint16_t i = 0; i < shard_count; ++i)
    if (targets_[i] == self_ && slots_[i].what == hold::none && known_[i].owner != self_ &&
        !alive(known_[i].owner))
      wanted.shards.push_back(shard_id{i});
  if (wanted.shards.empty())
    return;
  if (now_ < take_at_) {
    place_at_ = std::min(place_at_, take_at_);
    return;
  }
  taking_ = true;
  out_.push_back(std::move(wanted));
}

void coordinator::on(const leases_taken& x) {
  if (!std::exchange(taking_, false) || !self_)
    return;
  for (const auto& [shard, epoch] : x.got) {
    if (shard.value >= shard_count || epoch <= known_[shard.value].epoch)
      continue;
    auto& slot = slots_[shard.value];
    if (slot.what != hold::none)
      continue;
    known_[shard.value] = {self_, epoch};
    slot = {};
    routes_changed_ = true;
  }
  if (!x.got.empty())
    out_.push_back(poke_peers{});
  take_at_ = now_ + take_again;
  read_wanted_ = placing_ = true;
}

void coordinator::on(const take_failed&) {
  if (!std::exchange(taking_, false))
    return;
  take_at_ = now_ + take_retry;
  read_wanted_ = placing_ = true;
}

bool coordinator::may_give(node_id to) {
  const auto* member = view_.find(to);
  if (!member || member->state != member_state::up || !linked(to))
    return false;
  const auto found = paces_.find(to);
  if (found == paces_.end() || now_ >= found->second.not_before)
    return true;
  place_at_ = std::min(place_at_, found->second.not_before);
  return false;
}

/// Offers to others what should be theirs.
void coordinator::give() {
  while (hand_offs_.size() < numbers_.hand_offs_at_once && give_to_one()) {
  }
}

bool coordinator::give_to_one() {
  hand_off next;
  next.since = now_;
  auto most = numbers_.hand_off_shards;
  std::map<node_id, bool> may;  // asked once a node, not once a shard
  for (uint16_t n = 0; n < shard_count && next.shards.size() < most; ++n) {
    const uint16_t i = (give_from_ + n) % shard_count;
    const auto target = targets_[i];
    if (slots_[i].what != hold::held || !target || target == self_)
      continue;
    if (!next.to) {
      const auto [at, fresh] = may.try_emplace(target, false);
      if (fresh)
        at->second = may_give(target);
      if (!at->second)
        continue;
      next.to = target;
      if (const auto found = paces_.find(target); found != paces_.end())
        most = std::min(most, found->second.shards);
    }
    if (target == next.to)
      next.shards.push_back(shard_id{i});
  }
  if (!next.to)
    return false;
  const auto id = ++last_hand_off_;
  for (const auto shard : next.shards) {
    slots_[shard.value].what = hold::leaving;
    slots_[shard.value].hand_off = id;
  }
  // The next search begins behind: shards that cannot leave must not keep others from it.
  give_from_ = (next.shards.back().value + 1) % shard_count;
  out_.push_back(release_shards{id, next.to, next.shards});
  hand_offs_.emplace(id, std::move(next));
  return true;
}

void coordinator::on(const shards_released& x) {
  const auto found = hand_offs_.find(x.hand_off);
  if (found == hand_offs_.end() || found->second.at != stage::releasing)
    return;
  const auto* to = view_.find(found->second.to);
  if (!to || to->state != member_state::up || !linked(to->id)) {
    undo(x.hand_off);
    return;
  }
  found->second.at = stage::giving;
  giving_.insert(x.hand_off);
  out_.push_back(give_leases{x.hand_off, found->second.to, found->second.shards});
}

void coordinator::on(const release_failed& x) {
  const auto found = hand_offs_.find(x.hand_off);
  if (found != hand_offs_.end() && found->second.at == stage::releasing)
    undo(x.hand_off);
}

void coordinator::on(const leases_given& x) {
  if (giving_.erase(x.hand_off) != 0)
    end(x.hand_off, x.moved);
}

void coordinator::on(const give_unknown& x) {
  if (giving_.erase(x.hand_off) == 0)
    return;
  const auto found = hand_offs_.find(x.hand_off);
  if (found == hand_offs_.end())
    return;
  // A view that is being read now may be older than what was done.
  found->second.at = stage::unknown;
  found->second.told_by = calls_ + 1;
  read_wanted_ = true;
}

/// Ends the hand-offs of unknown outcome that the view of this call has told about.
void coordinator::settle_unknown(uint64_t call_number) {
  std::vector<uint64_t> told;
  for (const auto& [id, x] : hand_offs_)
    if (x.at == stage::unknown && x.told_by <= call_number)
      told.push_back(id);
  for (const auto id : told) {
    const auto& x = hand_offs_.at(id);
    std::vector<std::pair<shard_id, lease_epoch>> moved;
    for (const auto shard : x.shards)
      if (const auto& known = known_[shard.value]; known.owner == x.to)
        moved.emplace_back(shard, known.epoch);
    end(id, moved);
  }
}

/// A hand-off is over: what moved is the other's, what did not goes on here unless it was lost.
void coordinator::end(uint64_t id, const std::vector<std::pair<shard_id, lease_epoch>>& moved) {
  auto found = hand_offs_.extract(id);
  if (found.empty())
    return;
  const auto& done = found.mapped();
  send_snapshots sent{id, done.to, {}};
  for (const auto& [shard, epoch] : moved) {
    if (shard.value >= shard_count)
      continue;
    auto& slot = slots_[shard.value];
    auto& known = known_[shard.value];
    if (slot.what != hold::leaving || slot.hand_off != id || epoch < known.epoch)
      continue;
    known = {done.to, epoch};
    slot = {};
    sent.shards.emplace_back(shard, epoch);
  }
  keep_shards kept{id, {}};
  lose_shards lost;
  for (const auto shard : done.shards) {
    auto& slot = slots_[shard.value];
    if (slot.what != hold::leaving || slot.hand_off != id)
      continue;
    const auto& known = known_[shard.value];
    if (known.owner == self_ && known.epoch == slot.epoch) {
      slot.what = hold::held;
      slot.hand_off = 0;
      kept.shards.push_back(shard);
    } else {
      slot = {};
      lost.shards.push_back(shard);
    }
  }
  placing_ = routes_changed_ = true;
  if (kept.shards.empty() && lost.shards.empty()) {
    if (const auto pace = paces_.find(done.to); pace != paces_.end()) {
      pace->second.delay = {};
      pace->second.not_before = {};
      pace->second.shards *= 2;
      if (pace->second.shards >= numbers_.hand_off_shards)
        paces_.erase(pace);
    }
  } else {
    slow_down(done.to);
  }
  if (!lost.shards.empty())
    out_.push_back(std::move(lost));
  if (!kept.shards.empty())
    out_.push_back(std::move(kept));
  if (!sent.shards.empty()) {
    out_.push_back(std::move(sent));
    out_.push_back(poke_peers{});
  }
}

void coordinator::undo(uint64_t id) { end(id, {}); }

void coordinator::slow_down(node_id to) {
  auto& x = paces_[to];
  x.delay = std::clamp(x.delay * 2, pace_first, pace_last);
  x.not_before = now_ + x.delay;
  x.shards = std::max<size_t>(1, (x.shards ? x.shards : numbers_.hand_off_shards) / 2);
}

/// Takes a shard out of its hand-off.
void coordinator::detach(shard_id shard) {
  const auto found = hand_offs_.find(slots_[shard.value].hand_off);
  if (found == hand_offs_.end())
    return;
  std::erase(found->second.shards, shard);
  if (found->second.shards.empty() && found->second.at == stage::releasing)
    hand_offs_.erase(found);
}

void coordinator::lose_all() {
  lose_shards lost;
  for (uint16_t i = 0; i < shard_count; ++i) {
    // One that waits for its snapshot has entities nowhere, but messages.
    if (slots_[i].what != hold::none)
      lost.shards.push_back(shard_id{i});
    slots_[i] = {};
  }
  hand_offs_.clear();
  arrive_at_ = local_time::max();
  placing_ = true;
  if (!lost.shards.empty())
    out_.push_back(std::move(lost));
}

void coordinator::when_drained() {
  if (!leaving_ || drained_)
    return;
  if (self_) {
    // Until our row says so, others may still hand shards to us.
    if (row_state_ != member_state::leaving)
      return;
    const bool somebody = std::any_of(targets_.begin(), targets_.end(),
                                      [](node_id x) { return static_cast<bool>(x); }) &&
                          !targets_over_.empty();
    const bool something =
        !hand_offs_.empty() || std::any_of(slots_.begin(), slots_.end(),
                                           [](const slot& x) { return x.what != hold::none; });
    if (something && (somebody || !hand_offs_.empty()))
      return;
  } else if (call_ == call::join) {
    return;
  } else {
    stopped_ = true;  // never joined: nothing to hand over, nobody to tell
  }
  drained_ = true;
  out_.push_back(drained{});
}

}  // namespace kgents::runtime::cluster
