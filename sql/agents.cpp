#include "sql/agents.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agents {

namespace {

#define KGENTS_SQL_AGENT "name, agent_type, config::text, is_active, " KGENTS_SQL_TIME("created_at")

agent_row agent_in(const rows& x, int row) {
  return {.name = string_at(x, row, 0),
          .agent_type = string_at(x, row, 1),
          .config = string_at(x, row, 2),
          .active = x.boolean(row, 3),
          .created_at = string_at(x, row, 4)};
}

}  // namespace

query<std::vector<agent_row>> list(tenant_id tenant, size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_AGENT " FROM kg.agents ORDER BY name LIMIT $1";
  return {{.tenant = tenant, .statements = {{text, {value(limit)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<agent_row> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(agent_in(all[0], row));
            return out;
          }};
}

query<std::optional<agent_row>> get(tenant_id tenant, std::string_view name) {
  constexpr std::string_view text = "SELECT " KGENTS_SQL_AGENT " FROM kg.agents WHERE name = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : std::optional{agent_in(all[0], 0)};
          }};
}

query<bool> set_active(tenant_id tenant, std::string_view name, bool active) {
  constexpr std::string_view text =
      "UPDATE kg.agents SET is_active = $2 WHERE name = $1 RETURNING 1";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}, active ? "t" : "f"}}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

}  // namespace kgents::sql::agents
