#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/entity.hpp"

/// The words of a cluster: nodes, shards, leases, and the view of them that PostgreSQL holds.
namespace kgents {

/// One life of a node: a new number for each join, from PostgreSQL, so that a node that comes back
/// is never mistaken for its predecessor. 0: nobody.
struct node_id {
  uint64_t value = 0;

  [[nodiscard]] explicit operator bool() const noexcept { return value != 0; }
  friend auto operator<=>(const node_id&, const node_id&) = default;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, node_id& x) {
  return f(x.value);
}

/// Entities are placed by shard: what moves from node to node, from 0 to `shard_count` - 1.
struct shard_id {
  uint16_t value = 0;

  friend auto operator<=>(const shard_id&, const shard_id&) = default;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shard_id& x) {
  return f(x.value);
}

inline constexpr uint16_t shard_count = 1024;

/// The same on every node and in every release: it decides where an entity lives.
[[nodiscard]] shard_id shard_of(const entity_id& x) noexcept;

enum class member_state : uint8_t { joining, up, leaving, dead };

[[nodiscard]] constexpr std::string_view to_string(member_state x) noexcept {
  constexpr std::string_view names[] = {"joining", "up", "leaving", "dead"};
  return names[static_cast<size_t>(x)];
}

/// A node as `kg.cluster_nodes` knows it.
struct cluster_member {
  node_id id;
  std::string name;
  std::string host;  ///< where its peer link listens; empty: a cluster of one
  uint16_t port = 0;
  std::vector<std::string> roles;  ///< gateway, agentese, kgent, control, meter
  member_state state = member_state::joining;
  uint64_t beat = 0;             ///< counts its heartbeats
  std::vector<node_id> suspects; ///< who has lost its link to it
  bool drain_requested = false;  ///< an operator asked it to leave

  [[nodiscard]] bool has_role(std::string_view role) const noexcept {
    for (const auto& x : roles)
      if (x == role)
        return true;
    return false;
  }
};

/// Who may act on a shard. A write that carries an older epoch is refused.
struct shard_lease {
  node_id owner;  ///< nobody: free
  lease_epoch epoch = 0;

  friend bool operator==(const shard_lease&, const shard_lease&) = default;
};

using shard_leases = std::array<shard_lease, shard_count>;

/// What PostgreSQL said at one moment.
struct cluster_view {
  uint64_t version = 0;  ///< grows with each change of a member's state or of a lease
  std::vector<cluster_member> members;  ///< all that are not dead, and the dead of the last minutes
  shard_leases leases;

  [[nodiscard]] const cluster_member* find(node_id id) const noexcept {
    for (const auto& x : members)
      if (x.id == id)
        return &x;
    return nullptr;
  }
};

}  // namespace kgents

template <>
struct std::hash<kgents::node_id> {
  size_t operator()(const kgents::node_id& x) const noexcept {
    return std::hash<uint64_t>{}(x.value);
  }
};
