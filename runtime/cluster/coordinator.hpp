#pragma once

#include <array>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/cluster.hpp"
#include "runtime/cluster/placement.hpp"

/// The decisions of a cluster's node as one state machine: no clock, no socket, no database. The
/// `members` actor feeds it with events and carries its actions out; tests/sim does the same with a
/// simulated world.
namespace kgents::runtime::cluster {

/// Time since some fixed moment, on this node's own monotonic clock; nodes' clocks are never
/// compared.
using local_time = std::chrono::milliseconds;

/// Numbers of design.md section 5.
struct timing {
  local_time beat_every{2000};
  /// A member whose beat did not move for that long, while our own reads succeeded, is dead.
  local_time dead_after{6000};
  /// Without a successful beat of its own for that long, a node acts on no shard any more: less
  /// than `dead_after`, so that it stops before others take over.
  local_time self_fence_after{5000};
  /// How long a new owner waits for the snapshot of a hand-off that PostgreSQL already tells of.
  local_time snapshot_wait{1000};
  /// A hand-off that the old owner cannot complete by then is undone.
  local_time hand_off_within{2000};
  /// Shards in one hand-off, and hand-offs at once: few, so that each is frozen for a short time.
  size_t hand_off_shards = 64;
  size_t hand_offs_at_once = 2;
};

/// \name What happened. Every event comes with the time it happened.
///
/// `join`, `beat`, `read_view`, `take_leases` and `give_leases` are each answered exactly once,
/// with a failure at the latest when the caller's deadline has passed. Answers that nobody waits
/// for, and hand-offs that are over, are ignored.
/// @{
struct tick {};  ///< every 100 ms or so
/// The database admitted us as this node.
struct joined {
  node_id self;
};
/// PostgreSQL or a peer says that the view has changed.
struct poked {};
/// Answer of a `beat` or `read_view`. `self` in it may be dead: we were declared so. The leases are
/// looked at only when the version is another than the one we know.
struct viewed {
  cluster_view view;
  bool beaten = false;  ///< our own heartbeat was written with it
};
/// A `join`, `beat` or `read_view` failed, or its outcome is unknown.
struct database_failed {};
struct link_up {
  node_id peer;
};
struct link_down {
  node_id peer;
};
/// Answer of `take_leases`: those we got, with their new epochs.
struct leases_taken {
  std::vector<std::pair<shard_id, lease_epoch>> got;
};
/// `take_leases` failed, or its outcome is unknown.
struct take_failed {};
/// The entities of a hand-off have left memory (or there were none): its leases may move.
struct shards_released {
  uint64_t hand_off = 0;
};
/// They could not leave in time: they go on here.
struct release_failed {
  uint64_t hand_off = 0;
};
/// Answer of `give_leases`: those that moved, with their new epochs.
struct leases_given {
  uint64_t hand_off = 0;
  std::vector<std::pair<shard_id, lease_epoch>> moved;
};
/// `give_leases` failed, or its outcome is unknown: the next view tells it.
struct give_unknown {
  uint64_t hand_off = 0;
};
/// A snapshot came from the old owner: these shards are ours.
struct handed_over {
  node_id from;
  std::vector<std::pair<shard_id, lease_epoch>> shards;
  node_id to{};  ///< whom the sender meant, if it said so: a former life of ours is not us
};
/// SIGTERM, or the operator's request.
struct drain_asked {};

using event = std::variant<tick, joined, poked, viewed, database_failed, link_up, link_down,
                           leases_taken, take_failed, shards_released, release_failed, leases_given,
                           give_unknown, handed_over, drain_asked>;
/// @}

/// \name What to do.
/// @{
struct join {};  ///< ask the database for a node id -> joined or database_failed
/// Write our heartbeat with this state and read the view -> viewed or database_failed. At most one
/// `beat` or `read_view` is under way.
struct beat {
  member_state state;
};
struct read_view {};
/// Keep links to these members (all others are cut) -> link_up, link_down.
struct keep_links {
  std::vector<cluster_member> peers;
};
struct suspect {
  node_id peer;
};
struct trust {  ///< withdraws a suspicion
  node_id peer;
};
/// Its beat stood at this value for too long: the database marks it dead if it still does.
struct declare_dead {
  node_id peer;
  uint64_t beat;
};
struct take_leases {
  std::vector<shard_id> shards;
};
/// We own these: activate entities, from snapshots or from PostgreSQL. `recover`: look there for
/// sessions whose turns are unfinished, since no snapshot came.
struct own_shards {
  std::vector<std::pair<shard_id, lease_epoch>> shards;
  bool recover = false;
};
/// Let the entities of these shards leave memory, each when it is quiet; nothing is admitted
/// meanwhile, messages wait -> shards_released or release_failed.
struct release_shards {
  uint64_t hand_off = 0;
  node_id to;
  std::vector<shard_id> shards;
};
struct give_leases {
  uint64_t hand_off = 0;
  node_id to;
  std::vector<shard_id> shards;
};
/// The leases moved: send the snapshots to their new owner.
struct send_snapshots {
  uint64_t hand_off = 0;
  node_id to;
  std::vector<std::pair<shard_id, lease_epoch>> shards;
};
/// The hand-off is off: these go on here, from their snapshots.
struct keep_shards {
  uint64_t hand_off = 0;
  std::vector<shard_id> shards;
};
/// We have lost these: their entities must stop at once, without a word to anybody.
struct lose_shards {
  std::vector<shard_id> shards;
};
/// The routes changed: who owns what, as far as we know. Emitted when an owner or epoch changed.
struct routes_changed {};
/// Tell all peers to read the view now.
struct poke_peers {};
/// We were declared dead or superseded: everything of our old life stops; a `join` follows.
struct fenced {
  std::string why;
};
/// Our state changed (joining, up, leaving).
struct state_changed {
  member_state state;
};
/// Nothing is ours any more while leaving, or nobody is there to take it: the process may go (once
/// its turns have ended).
struct drained {};
/// We must not join again: another live process uses our name.
struct stop {
  std::string why;
};

using action =
    std::variant<join, beat, read_view, keep_links, suspect, trust, declare_dead, take_leases,
                 own_shards, release_shards, give_leases, send_snapshots, keep_shards, lose_shards,
                 routes_changed, poke_peers, fenced, state_changed, drained, stop>;
/// @}

using actions = std::vector<action>;

/// One node's part in membership, leases, placement and hand-off.
class coordinator {
public:
  struct identity {
    std::string name;
    std::vector<std::string> roles;
    bool alone = false;  ///< no address for others: a cluster of one
  };

  explicit coordinator(identity who, timing numbers = {});

  /// Not thread-safe: one actor's. Times never go back.
  [[nodiscard]] actions apply(const event& what, local_time now);

  [[nodiscard]] node_id self() const noexcept { return self_; }
  [[nodiscard]] member_state state() const noexcept { return state_; }
  [[nodiscard]] const cluster_view& view() const noexcept { return view_; }

  /// What this node may do with a shard now.
  enum class hold : uint8_t {
    none,      ///< another's, or nobody's: ask its owner
    arriving,  ///< ours by the view, its snapshot not here yet: messages wait
    held,      ///< ours: admit
    leaving,   ///< being handed off: messages wait
  };
  [[nodiscard]] hold holds(shard_id shard) const noexcept;
  /// Owner and epoch as far as we know (our own changes included). Nobody owns what was ours while
  /// we are cut off from PostgreSQL.
  [[nodiscard]] shard_lease lease(shard_id shard) const noexcept;

  /// Hand-offs under way, for the operator's view.
  struct move {
    node_id to;
    size_t shards = 0;
    local_time since{};
  };
  [[nodiscard]] std::vector<move> moves() const;

private:
  enum class call : uint8_t { none, join, beat, read };

  struct link {
    bool up = false;
    bool was_up = false;               // in this life of both
    bool suspected = false;            // we said so, and did not withdraw it
    local_time since{};                // when we first wanted it
    local_time spoken_at{-3'600'000};  // when we last said or withdrew it
  };
  struct watch {
    uint64_t beat = 0;
    local_time since{};  // when we saw this beat first
    local_time declared_at{-3'600'000};
  };
  /// What we do with a shard, under which epoch.
  struct slot {
    lease_epoch epoch = 0;
    hold what = hold::none;
    node_id from;           // who had it before, if the view told
    local_time until{};     // arriving: when we stop waiting for the snapshot
    uint64_t hand_off = 0;  // leaving: in which
  };
  enum class stage : uint8_t { releasing, giving, unknown };
  struct hand_off {
    node_id to;
    std::vector<shard_id> shards;
    local_time since{};
    stage at = stage::releasing;
    uint64_t told_by = 0;  // unknown: the number of the call whose view tells
  };
  /// Hand-offs to a node that failed come again later and smaller.
  struct pace {
    local_time not_before{};
    local_time delay{};
    size_t shards = 0;
  };

  void on(const tick&) {}
  void on(const joined& x);
  void on(const poked&) { read_wanted_ = true; }
  void on(const viewed& x);
  void on(const database_failed&);
  void on(const link_up& x);
  void on(const link_down& x);
  void on(const leases_taken& x);
  void on(const take_failed&);
  void on(const shards_released& x);
  void on(const release_failed& x);
  void on(const leases_given& x);
  void on(const give_unknown& x);
  void on(const handed_over& x);
  void on(const drain_asked&) { leave(); }

  // coordinator.cpp: membership.
  void fence_when_silent();
  void die(const cluster_view& seen);
  void judge_rival(const cluster_view& seen);
  void leave();
  void observe(const cluster_view& seen);
  void adopt_members(const cluster_view& seen);
  void set_state(member_state x);
  void watch_members();
  void watch_links();
  void ask_database();
  [[nodiscard]] bool linked(node_id peer) const noexcept;
  [[nodiscard]] bool alive(node_id member) const noexcept;
  [[nodiscard]] member_state wanted() const noexcept;

  // coordinator_shards.cpp: leases and hand-off.
  void adopt_leases(const shard_leases& seen);
  void settle_unknown(uint64_t call_number);
  void claim();
  void expire();
  void place();
  void take();
  void give();
  bool give_to_one();
  [[nodiscard]] bool may_give(node_id to);
  void undo(uint64_t id);
  void end(uint64_t id, const std::vector<std::pair<shard_id, lease_epoch>>& moved);
  void slow_down(node_id to);
  void detach(shard_id shard);
  void lose_all();
  void when_drained();

  identity who_;
  timing numbers_;
  local_time now_{};
  actions out_;

  node_id self_;
  member_state state_ = member_state::joining;
  bool leaving_ = false;  // asked to, in this life or before it
  bool drained_ = false;  // said so
  bool stopped_ = false;  // nothing more will ever be done
  node_id rival_;         // joined under our name, maybe by a call of ours
  local_time rival_since_{};
  cluster_view view_;  // leases in it: as the view said, known_ is newer
  member_state row_state_ = member_state::joining;  // ours in the view

  call call_ = call::none;
  uint64_t calls_ = 0;  // the number of the present or last one
  local_time call_sent_{};
  local_time beat_at_{};
  local_time retry_at_{};
  local_time read_at_{};
  local_time join_at_{};
  local_time join_delay_{100};
  local_time up_since_{};
  uint32_t failures_ = 0;
  bool read_wanted_ = false;
  local_time beaten_at_{};  // when our last successful beat was sent
  bool suspended_ = false;  // it is too long ago: we act on nothing
  local_time viewed_at_{};
  bool watch_broken_ = true;  // a read failed: what we saw before proves nothing

  std::map<node_id, watch> watched_;
  std::map<node_id, link> links_;   // of the peers we keep links to
  std::set<node_id> linked_early_;  // links that came up before we knew the peer

  shard_leases known_;  // the newest of the view and of our own knowledge, by epoch
  std::array<slot, shard_count> slots_;
  placement targets_{};
  std::vector<node_id> targets_over_;  // whom targets_ was computed over
  bool placing_ = false;               // something changed: look at the shards again
  bool routes_changed_ = false;
  local_time place_at_ = local_time::max();   // look at them again then at the latest
  local_time arrive_at_ = local_time::max();  // the first snapshot to be given up
  bool taking_ = false;                       // take_leases is under way
  local_time take_at_{};
  std::map<uint64_t, hand_off> hand_offs_;
  std::set<uint64_t> giving_;  // give_leases under way, also of hand-offs that are over
  uint64_t last_hand_off_ = 0;
  std::map<node_id, pace> paces_;
  uint16_t give_from_ = 0;  // where the next search for a batch begins
};

}  // namespace kgents::runtime::cluster
