#pragma once

#include <array>
#include <span>
#include <string_view>

#include "protocol/cluster.hpp"

/// Who should own what, given who is up. No I/O: the coordinator calls it, and so does the
/// simulator.
namespace kgents::runtime::cluster {

/// Whom each shard belongs to; nobody when no member can have it.
using placement = std::array<node_id, shard_count>;

/// Who should own a shard: rendezvous hashing (Thaler and Ravishankar, 1998) over the members that
/// are up and have the role, so that a change moves only what it must. By name, not by id: a node
/// that comes back gets back what it had. Nobody when there is none.
[[nodiscard]] node_id owner_of(shard_id shard, std::span<const cluster_member> members,
                               std::string_view role = "kgent");

/// The same for all shards.
[[nodiscard]] placement place_all(std::span<const cluster_member> members,
                                  std::string_view role = "kgent");

}  // namespace kgents::runtime::cluster
