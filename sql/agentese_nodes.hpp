#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// States of one node that are kept; older ones go with the change that makes them too many.
constexpr int64_t snapshots_kept = 1000;

/// A node as it is stored. JSON members are text. Times as they go out:
/// `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.
struct agentese_node {
  std::string path;  ///< world.house
  std::string entity_type = "entity";
  std::string state = "{}";
  std::string definition = "{}";
  std::string relations = "{}";
  int64_t version = 0;  ///< counts its changes from 1; 0: not stored yet
  std::string created_by;
  std::string created_at;
  std::string updated_at;
};

/// What storing gives a node.
struct agentese_node_stored {
  int64_t version = 0;
  std::string created_by;
  std::string created_at;
  std::string updated_at;
};

/// A state that a node had.
struct agentese_snapshot {
  std::string target;
  int64_t version = 0;
  std::string at;
  std::string state;  ///< JSON text
};

/// Nodes under AGENTESE's paths that a tenant has given a state. All for kg_app.
namespace agentese_nodes {

[[nodiscard]] query<std::optional<agentese_node>> get(tenant_id tenant, std::string_view path);

/// Inserts or replaces all members but `created_by` and the times, counts the version on, keeps its
/// state as a snapshot and drops those beyond `snapshots_kept`.
[[nodiscard]] query<agentese_node_stored> put(tenant_id tenant, const agentese_node& node);

/// The node and its snapshots. False when there was none.
[[nodiscard]] query<bool> remove(tenant_id tenant, std::string_view path);

/// How many a tenant has in a context.
[[nodiscard]] query<int64_t> count(tenant_id tenant, std::string_view context);

/// Paths below `path`, of any depth, sorted.
[[nodiscard]] query<std::vector<std::string>> below(tenant_id tenant, std::string_view path,
                                                    size_t limit);

/// The newest state at or before `time`.
[[nodiscard]] query<std::optional<agentese_snapshot>> snapshot_at(
    tenant_id tenant, std::string_view target, std::chrono::system_clock::time_point time);

/// The newest `limit` states, newest last.
[[nodiscard]] query<std::vector<agentese_snapshot>> snapshots(tenant_id tenant,
                                                              std::string_view target,
                                                              size_t limit);

}  // namespace agentese_nodes

}  // namespace kgents::sql
