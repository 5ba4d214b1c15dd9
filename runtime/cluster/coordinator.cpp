#include "runtime/cluster/coordinator.hpp"

#include <algorithm>

/// Membership: how a node joins, stays, is missed and goes. Leases and hand-off are in
/// coordinator_shards.cpp.
namespace kgents::runtime::cluster {
namespace {

using namespace std::chrono_literals;

/// Calls that fail are tried again that soon at first, and at most that late.
constexpr local_time retry_first = 100ms;
constexpr local_time retry_last = 500ms;
/// Pokes that come faster than that share a read.
constexpr local_time read_gap = 50ms;
/// A suspicion, its withdrawal or a death is not said more often: the view shows what became of it.
constexpr local_time say_gap = 1s;
/// A node that is declared dead again and again joins again that late at most.
constexpr local_time join_last = 5s;
/// One that was up for that long joins again at once.
constexpr local_time up_for_long = 10s;
/// A process that has joined under our name beats within that time, unless it is only what is left
/// of a `join` of ours that PostgreSQL carried out late.
constexpr local_time rival_beats_within = 3s;
constexpr local_time rival_read = 500ms;

}  // namespace

coordinator::coordinator(identity who, timing numbers) : who_{std::move(who)}, numbers_{numbers} {}

actions coordinator::apply(const event& what, local_time now) {
  now_ = now;
  if (stopped_)
    return {};
  fence_when_silent();  // first: this process may have stood still until now
  std::visit([this](const auto& x) { on(x); }, what);
  if (!stopped_) {
    claim();
    expire();
    watch_members();
    watch_links();
    place();
    when_drained();
    ask_database();
  }
  if (std::exchange(routes_changed_, false))
    out_.push_back(routes_changed{});
  return std::exchange(out_, {});
}

bool coordinator::linked(node_id peer) const noexcept {
  const auto found = links_.find(peer);
  return found != links_.end() && found->second.up;
}

bool coordinator::alive(node_id member) const noexcept {
  const auto* found = view_.find(member);
  return found && found->state != member_state::dead;
}

/// The state our row should have.
member_state coordinator::wanted() const noexcept {
  if (leaving_)
    return member_state::leaving;
  if (row_state_ != member_state::joining)
    return row_state_;
  // Before the first view nothing is known of others.
  const bool ready =
      view_.version > 0 &&
      std::all_of(view_.members.begin(), view_.members.end(), [this](const cluster_member& x) {
        return x.state != member_state::up || x.id == self_ || linked(x.id);
      });
  return ready ? member_state::up : member_state::joining;
}

void coordinator::ask_database() {
  if (stopped_ || call_ != call::none || now_ < retry_at_)
    return;
  if (!self_) {
    // Answers of a former life must not be taken for the next one's.
    if (now_ < join_at_ || taking_ || !giving_.empty())
      return;
    call_ = rival_ ? call::read : call::join;
    if (rival_)
      out_.push_back(read_view{});
    else
      out_.push_back(join{});
  } else if (now_ >= beat_at_ || wanted() != row_state_) {
    call_ = call::beat;
    beat_at_ = now_ + numbers_.beat_every;
    read_wanted_ = false;
    out_.push_back(beat{wanted()});
  } else if (read_wanted_ && now_ >= read_at_) {
    call_ = call::read;
    read_wanted_ = false;
    out_.push_back(read_view{});
  } else {
    return;
  }
  call_sent_ = now_;
  ++calls_;
}

void coordinator::on(const joined& x) {
  if (call_ != call::join)
    return;
  call_ = call::none;
  failures_ = 0;
  self_ = x.self;
  row_state_ = member_state::joining;
  beaten_at_ = call_sent_;
  beat_at_ = now_;
  watch_broken_ = true;
}

void coordinator::on(const database_failed&) {
  if (call_ == call::none)
    return;
  if (std::exchange(call_, call::none) == call::beat)
    beat_at_ = now_;
  else
    read_wanted_ = true;
  // Others could not beat either, perhaps: what stood still until now proves nothing.
  watch_broken_ = true;
  retry_at_ = now_ + std::min(retry_last, retry_first * (1 << std::min(failures_, 4u)));
  ++failures_;
}

void coordinator::on(const viewed& x) {
  if (call_ != call::beat && call_ != call::read)
    return;
  const bool was_beat = std::exchange(call_, call::none) == call::beat;
  failures_ = 0;
  read_at_ = now_ + read_gap;
  if (!self_) {
    judge_rival(x.view);
    return;
  }
  if (x.view.version < view_.version)
    return;
  const auto* me = x.view.find(self_);
  if (!me || me->state == member_state::dead) {
    die(x.view);
    return;
  }
  if (was_beat && x.beaten)
    beaten_at_ = call_sent_;  // not now: others count from its commit, which is not before that
  observe(x.view);
  adopt_members(x.view);
  if (x.view.version > view_.version) {
    view_.version = x.view.version;
    view_.leases = x.view.leases;
    adopt_leases(x.view.leases);
  }
  settle_unknown(calls_);
  if (suspended_ && now_ - beaten_at_ < numbers_.self_fence_after) {
    suspended_ = false;
    routes_changed_ = true;
    placing_ = true;
  }
  if (me->drain_requested)
    leave();
}

/// Without a successful beat others may take our shards soon: stop before they do.
void coordinator::fence_when_silent() {
  if (!self_ || suspended_ || now_ - beaten_at_ < numbers_.self_fence_after)
    return;
  suspended_ = true;
  beat_at_ = now_;
  routes_changed_ = true;
  lose_all();
}

/// We were declared dead: this life is over.
void coordinator::die(const cluster_view& seen) {
  lose_all();
  out_.push_back(fenced{"node " + std::to_string(self_.value) + " was declared dead"});
  if (!links_.empty())
    out_.push_back(keep_links{});
  const auto successor =
      std::find_if(seen.members.begin(), seen.members.end(), [this](const cluster_member& x) {
        return x.name == who_.name && x.id > self_ && x.state != member_state::dead;
      });
  links_.clear();
  linked_early_.clear();
  watched_.clear();
  paces_.clear();
  self_ = {};
  view_ = {};
  row_state_ = member_state::joining;
  suspended_ = false;
  routes_changed_ = true;
  // One that dies right after each join must not do so in a tight loop.
  join_delay_ = state_ != member_state::joining && now_ - up_since_ >= up_for_long
                    ? retry_first
                    : std::min(join_last, join_delay_ * 2);
  join_at_ = now_ + join_delay_;
  if (leaving_) {
    stopped_ = true;
    if (!std::exchange(drained_, true))
      out_.push_back(drained{});
    return;
  }
  set_state(member_state::joining);
  if (successor != seen.members.end()) {
    rival_ = successor->id;
    rival_since_ = now_;
    judge_rival(seen);
  }
}

/// Another life of our name has begun, and not by us. Is there a process behind it?
void coordinator::judge_rival(const cluster_view& seen) {
  const auto* rival = seen.find(rival_);
  if (!rival || rival->state == member_state::dead ||
      (rival->beat == 0 && now_ - rival_since_ >= rival_beats_within)) {
    rival_ = {};
  } else if (rival->beat > 0) {
    stopped_ = true;
    out_.push_back(stop{"another process runs as '" + who_.name + "', as node " +
                        std::to_string(rival_.value)});
  } else {
    join_at_ = now_ + rival_read;
  }
}

void coordinator::leave() {
  if (std::exchange(leaving_, true))
    return;
  placing_ = true;
  set_state(member_state::leaving);
}

void coordinator::set_state(member_state x) {
  if (state_ == x)
    return;
  if (x == member_state::up)
    up_since_ = now_;
  state_ = x;
  out_.push_back(state_changed{x});
}

void coordinator::adopt_members(const cluster_view& seen) {
  const bool changed = seen.version != view_.version;
  view_.members = seen.members;
  const auto* me = view_.find(self_);
  if (row_state_ != me->state) {
    row_state_ = me->state;
    placing_ = true;
    out_.push_back(poke_peers{});
  }
  if (row_state_ == member_state::leaving)
    leaving_ = true;
  set_state(leaving_ ? member_state::leaving : row_state_);
  placing_ = placing_ || changed;

  std::map<node_id, link> links;
  std::vector<cluster_member> peers;
  bool others = false;
  for (const auto& x : view_.members) {
    if (x.id == self_ || x.state == member_state::dead)
      continue;
    peers.push_back(x);
    if (auto found = links_.extract(x.id); !found.empty()) {
      links.insert(std::move(found));
    } else {
      const bool up = linked_early_.erase(x.id) != 0;
      links.emplace(x.id, link{.up = up, .was_up = up, .since = now_});
      others = true;
    }
  }
  others = others || !links_.empty();  // who is left there has gone
  links_ = std::move(links);
  if (others)
    out_.push_back(keep_links{std::move(peers)});
}

/// Remembers since when each member's beat has stood still.
void coordinator::observe(const cluster_view& seen) {
  const bool again = watch_broken_ || now_ - viewed_at_ > 2 * numbers_.beat_every;
  watch_broken_ = false;
  viewed_at_ = now_;
  std::erase_if(watched_, [&](const auto& x) {
    const auto* found = seen.find(x.first);
    return !found || found->state == member_state::dead;
  });
  for (const auto& x : seen.members) {
    if (x.id == self_ || x.state == member_state::dead)
      continue;
    const auto [at, fresh] = watched_.try_emplace(x.id, watch{.beat = x.beat, .since = now_});
    if (!fresh && (again || x.beat > at->second.beat)) {
      at->second.beat = std::max(x.beat, at->second.beat);
      at->second.since = now_;
    }
  }
}

void coordinator::watch_members() {
  // Silence counts only while our own reads succeed, one soon after the other.
  if (!self_ || watch_broken_ || now_ - viewed_at_ > 2 * numbers_.beat_every)
    return;
  for (auto& [id, x] : watched_) {
    if (now_ - x.since < numbers_.dead_after || now_ - x.declared_at < say_gap)
      continue;
    x.declared_at = now_;
    read_wanted_ = true;
    read_at_ = now_ + read_gap;
    out_.push_back(declare_dead{id, x.beat});
  }
}

/// Suspicions follow the links until PostgreSQL has heard of them, and until they have an effect.
void coordinator::watch_links() {
  if (state_ == member_state::joining || !self_)
    return;
  for (auto& [id, x] : links_) {
    const auto* member = view_.find(id);
    if (!member || now_ - x.spoken_at < say_gap)
      continue;
    const bool on_record = std::find(member->suspects.begin(), member->suspects.end(), self_) !=
                           member->suspects.end();
    if (x.up) {
      if (!x.suspected && !on_record)
        continue;
      x.suspected = false;
      out_.push_back(trust{id});
    } else {
      // Two nodes that came up at the same time may never have been linked.
      const bool never =
          !x.was_up && member->state == member_state::up && now_ - x.since >= numbers_.dead_after;
      if (!x.was_up && !never)
        continue;
      x.suspected = true;
      read_wanted_ = true;
      read_at_ = now_ + read_gap;
      out_.push_back(suspect{id});
    }
    x.spoken_at = now_;
  }
}

void coordinator::on(const link_up& x) {
  const auto found = links_.find(x.peer);
  if (found == links_.end()) {
    if (linked_early_.size() < 64)
      linked_early_.insert(x.peer);
    return;
  }
  found->second.up = found->second.was_up = true;
  found->second.spoken_at = local_time{-3'600'000};
  placing_ = true;
}

void coordinator::on(const link_down& x) {
  linked_early_.erase(x.peer);
  const auto found = links_.find(x.peer);
  if (found == links_.end() || !found->second.up)
    return;
  found->second.up = false;
  found->second.since = now_;
  found->second.spoken_at = local_time{-3'600'000};
  placing_ = true;
  // Its snapshots will not come any more.
  for (auto& slot : slots_)
    if (slot.what == hold::arriving && slot.from == x.peer)
      slot.until = arrive_at_ = now_;
}

}  // namespace kgents::runtime::cluster
