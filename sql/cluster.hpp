#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/cluster.hpp"
#include "sql/query.hpp"

/// Membership and leases as PostgreSQL keeps them (migration 20-cluster). Everything here runs on a
/// pool of the control role only. All times are the database's: nodes' clocks are never compared.
///
/// A statement whose outcome is unknown may be repeated. Where that would count twice (`take`,
/// `give`), the second one answers nothing for what the first one did, and the next view tells it.
namespace kgents::sql::cluster {

/// What joins.
struct candidate {
  std::string name;  ///< 1 to 253 characters; unique among the living
  std::string host;  ///< empty: a cluster of one, which nobody else can join
  uint16_t port = 0;
  std::vector<std::string> roles{};
  uint32_t protocol = 0;
};

/// `failure::sqlstate` when `join` is refused; `failure::message` says which node is in the way.
inline constexpr std::string_view cannot_join = "KG002";

/// A new node id, in state joining. Whoever had the name before is dead from now on.
///
/// `rejected` with `cannot_join` when a live node (its last beat is younger than 6 s) of another
/// name has no address, or when this one has none and there is a live node of another name.
[[nodiscard]] query<node_id> join(const candidate& who);

struct seen {
  /// Our own state. `dead`: another life of our name has begun, or the others have declared us so.
  member_state self = member_state::dead;
  cluster_view view;
  /// False: `view.version` is the version that was known, so no lease has changed; `view.leases` is
  /// left empty, keep those you have.
  bool leases_included = false;
};

/// Writes the heartbeat and reads the view. The state only moves on, from joining to up to leaving:
/// an earlier one than that in the database changes nothing; a dead node stays dead and does not
/// beat. `state` dead is `rejected`: see `leave`. `known` 0: nothing.
[[nodiscard]] query<seen> beat(node_id self, member_state state, uint64_t known);

/// The same without a beat.
[[nodiscard]] query<seen> view(node_id self, uint64_t known);

/// We have lost our link to the target. Only a node that is up or leaving is heard. Two of them, or
/// one in a cluster of two, make the target dead. True when it is dead (now or before).
[[nodiscard]] query<bool> suspect(node_id self, node_id target);

/// Takes that back, unless it is too late.
[[nodiscard]] query<nothing> trust(node_id self, node_id target);

/// The target's beat has stood at this value for too long. It is dead if it still does; any node
/// that is not dead is heard, since those that join may be the only ones left. True when it is dead
/// (now or before).
[[nodiscard]] query<bool> declare_dead(node_id self, node_id target, uint64_t beat);

using epochs = std::vector<std::pair<shard_id, lease_epoch>>;

/// Takes those of the shards that are free or a dead node's, each with a new epoch, if we are up.
/// In the order of shards.
///
/// A lease that is just being written under (see `transaction::fence`) is waited for for a fifth of
/// a second, then left out: ask again. So one stuck transaction holds back its own shard only.
[[nodiscard]] query<epochs> take(node_id self, std::span<const shard_id> shards);

/// Moves our leases to another node that is up, each with a new epoch. What is being written under
/// is treated as by `take`.
[[nodiscard]] query<epochs> give(node_id self, node_id to, std::span<const shard_id> shards);

/// The end of this node's life: dead, and its leases free.
[[nodiscard]] query<nothing> leave(node_id self);

/// Sets `cluster_member::drain_requested`. False when no living node has that name.
[[nodiscard]] query<bool> request_drain(const std::string& name);

}  // namespace kgents::sql::cluster
