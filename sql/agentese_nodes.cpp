#include "sql/agentese_nodes.hpp"

#include <algorithm>

#include "sql/columns.hpp"

namespace kgents::sql::agentese_nodes {

namespace {

#define KGENTS_SQL_NODE                                                          \
  "path, entity_type, state::text, definition::text, relations::text, version, " \
  "created_by, " KGENTS_SQL_TIME("created_at") ", " KGENTS_SQL_TIME("updated_at")

#define KGENTS_SQL_SNAPSHOT "target, version, " KGENTS_SQL_TIME("at") ", state::text"

std::optional<agentese_node> node_of(std::vector<rows>& all) {
  const auto& x = all[0];
  if (x.empty())
    return std::nullopt;
  return agentese_node{.path = string_at(x, 0, 0),
                       .entity_type = string_at(x, 0, 1),
                       .state = string_at(x, 0, 2),
                       .definition = string_at(x, 0, 3),
                       .relations = string_at(x, 0, 4),
                       .version = x.integer(0, 5),
                       .created_by = string_at(x, 0, 6),
                       .created_at = string_at(x, 0, 7),
                       .updated_at = string_at(x, 0, 8)};
}

agentese_snapshot snapshot_in(const rows& x, int row) {
  return {.target = string_at(x, row, 0),
          .version = x.integer(row, 1),
          .at = string_at(x, row, 2),
          .state = string_at(x, row, 3)};
}

param text_or_null(const std::string& x) { return x.empty() ? param{} : param{x}; }

}  // namespace

query<std::optional<agentese_node>> get(tenant_id tenant, std::string_view path) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_NODE " FROM kg.agentese_nodes WHERE path = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{path}}}}, .read_only = true},
          node_of};
}

query<agentese_node_stored> put(tenant_id tenant, const agentese_node& node) {
  constexpr std::string_view text =
      "WITH stored AS ("
      "INSERT INTO kg.agentese_nodes AS n (tenant_id, path, entity_type, state, definition, "
      "relations, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7) "
      "ON CONFLICT (tenant_id, path) DO UPDATE SET entity_type = excluded.entity_type, "
      "state = excluded.state, definition = excluded.definition, relations = excluded.relations, "
      "version = n.version + 1, updated_at = clock_timestamp() "
      "RETURNING version, created_by, created_at, updated_at"
      "), kept AS ("
      "INSERT INTO kg.agentese_snapshots (tenant_id, target, version, at, state) "
      "SELECT $1, $2, version, updated_at, $4 FROM stored"
      "), dropped AS ("
      "DELETE FROM kg.agentese_snapshots x USING stored s "
      "WHERE x.tenant_id = $1 AND x.target = $2 AND x.version <= s.version - $8"
      ") SELECT version, created_by, " KGENTS_SQL_TIME("created_at") ", " KGENTS_SQL_TIME(
          "updated_at") " FROM stored";
  return {
      {.tenant = tenant,
       .statements = {{text,
                       {value(tenant), node.path, node.entity_type, node.state, node.definition,
                        node.relations, text_or_null(node.created_by), value(snapshots_kept)}}}},
      [](std::vector<rows>& all) {
        const auto& x = all[0];
        return agentese_node_stored{.version = x.integer(0, 0),
                                    .created_by = string_at(x, 0, 1),
                                    .created_at = string_at(x, 0, 2),
                                    .updated_at = string_at(x, 0, 3)};
      }};
}

query<bool> remove(tenant_id tenant, std::string_view path) {
  constexpr std::string_view node = "DELETE FROM kg.agentese_nodes WHERE path = $1 RETURNING 1";
  constexpr std::string_view states = "DELETE FROM kg.agentese_snapshots WHERE target = $1";
  return {{.tenant = tenant,
           .statements = {{node, {std::string{path}}}, {states, {std::string{path}}}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

query<int64_t> count(tenant_id tenant, std::string_view context) {
  constexpr std::string_view text = "SELECT count(*) FROM kg.agentese_nodes WHERE context = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{context}}}}, .read_only = true},
          [](std::vector<rows>& all) { return all[0].integer(0, 0); }};
}

query<std::vector<std::string>> below(tenant_id tenant, std::string_view path, size_t limit) {
  // Children are few; starts_with keeps what is a path from being read as a pattern.
  constexpr std::string_view text =
      "SELECT path FROM kg.agentese_nodes WHERE starts_with(path, $1 || '.') "
      "ORDER BY path LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{path}, value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<std::string> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(string_at(all[0], row, 0));
            return out;
          }};
}

query<std::optional<agentese_snapshot>> snapshot_at(tenant_id tenant, std::string_view target,
                                                    std::chrono::system_clock::time_point time) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_SNAPSHOT
      " FROM kg.agentese_snapshots WHERE target = $1 AND at <= timestamptz 'epoch' + "
      "$2::bigint * interval '1 microsecond' ORDER BY at DESC, version DESC LIMIT 1";
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  return {{.tenant = tenant,
           .statements = {{text, {std::string{target}, value(micros)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : std::optional{snapshot_in(all[0], 0)};
          }};
}

query<std::vector<agentese_snapshot>> snapshots(tenant_id tenant, std::string_view target,
                                                size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_SNAPSHOT
      " FROM kg.agentese_snapshots WHERE target = $1 ORDER BY version DESC LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{target}, value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<agentese_snapshot> out;
            for (int row = all[0].size(); row-- > 0;)
              out.push_back(snapshot_in(all[0], row));
            return out;
          }};
}

}  // namespace kgents::sql::agentese_nodes
