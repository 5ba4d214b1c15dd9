#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/cluster.hpp"

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
/// @{
struct tick {};  ///< every 100 ms or so
/// The database admitted us as this node.
struct joined {
  node_id self;
};
/// Answer of a `beat` or `read_view`. `self` in it may be dead: we were declared so.
struct viewed {
  cluster_view view;
  bool beaten = false;  ///< our own heartbeat was written with it
};
/// A `beat`, `read_view`, `join` or change of leases failed, or its outcome is unknown.
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
/// The outcome of `give_leases` is unknown: the next view tells it.
struct give_unknown {
  uint64_t hand_off = 0;
};
/// A snapshot came from the old owner: these shards are ours.
struct handed_over {
  node_id from;
  std::vector<std::pair<shard_id, lease_epoch>> shards;
};
/// SIGTERM, or the operator's request.
struct drain_asked {};

using event = std::variant<tick, joined, viewed, database_failed, link_up, link_down, leases_taken,
                           shards_released, release_failed, leases_given, give_unknown, handed_over,
                           drain_asked>;
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
/// Nothing is ours any more while leaving: the process may go (once its turns have ended).
struct drained {};

using action = std::variant<join, beat, read_view, keep_links, suspect, trust, declare_dead,
                            take_leases, own_shards, release_shards, give_leases, send_snapshots,
                            keep_shards, lose_shards, routes_changed, poke_peers, fenced,
                            state_changed, drained>;
/// @}

using actions = std::vector<action>;

/// Who should own a shard: rendezvous hashing (Thaler and Ravishankar, 1998) over the members that
/// are up and have the role, so that a change moves only what it must. Nobody when there is none.
[[nodiscard]] node_id owner_of(shard_id shard, std::span<const cluster_member> members,
                               std::string_view role = "kgent");

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
  /// Owner and epoch as far as we know (our own changes included).
  [[nodiscard]] shard_lease lease(shard_id shard) const noexcept;

  /// Hand-offs under way, for the operator's view.
  struct move {
    node_id to;
    size_t shards = 0;
    local_time since{};
  };
  [[nodiscard]] std::vector<move> moves() const;

private:
  // The implementer's.
  identity who_;
  timing numbers_;
  node_id self_;
  member_state state_ = member_state::joining;
  cluster_view view_;
};

}  // namespace kgents::runtime::cluster
