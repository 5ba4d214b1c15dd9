#include "sql/agentese_aliases.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_aliases {

query<std::vector<stored_alias>> list(tenant_id tenant) {
  constexpr std::string_view text = "SELECT name, target FROM kg.agentese_aliases ORDER BY name";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<stored_alias> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.emplace_back(string_at(all[0], row, 0), all[0].optional_text(row, 1));
            return out;
          }};
}

query<std::optional<stored_alias>> get(tenant_id tenant, std::string_view name) {
  constexpr std::string_view text = "SELECT name, target FROM kg.agentese_aliases WHERE name = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt
                                  : std::optional{stored_alias{string_at(all[0], 0, 0),
                                                               all[0].optional_text(0, 1)}};
          }};
}

query<nothing> set(tenant_id tenant, std::string_view name, std::optional<std::string> target) {
  constexpr std::string_view text =
      "INSERT INTO kg.agentese_aliases (tenant_id, name, target) VALUES ($1, $2, $3) "
      "ON CONFLICT (tenant_id, name) DO UPDATE SET target = excluded.target, updated_at = now()";
  return {{.tenant = tenant,
           .statements = {{text, {value(tenant), std::string{name}, std::move(target)}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

query<nothing> remove(tenant_id tenant, std::string_view name) {
  constexpr std::string_view text = "DELETE FROM kg.agentese_aliases WHERE name = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::agentese_aliases
