#include "sql/agentese_self.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_self {

namespace {

checkpoint_row checkpoint_at(const rows& x, int row) {
  return {count_at<uint64_t>(x, row, 0), string_at(x, row, 1), string_at(x, row, 2),
          string_at(x, row, 3)};
}

nothing parse_nothing(std::vector<rows>&) { return {}; }

}  // namespace

query<std::optional<std::string>> get(tenant_id tenant, std::string_view name) {
  constexpr std::string_view text = "SELECT value::text FROM kg.agentese_self WHERE name = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : all[0].optional_text(0, 0);
          }};
}

query<self_room> room(tenant_id tenant, std::string_view name) {
  constexpr std::string_view text =
      "SELECT count(*), coalesce(sum(octet_length(value::text)) FILTER (WHERE name <> $1), 0), "
      "max(value::text) FILTER (WHERE name = $1) FROM kg.agentese_self";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return self_room{count_at<uint64_t>(all[0], 0, 0), count_at<uint64_t>(all[0], 0, 1),
                             all[0].optional_text(0, 2)};
          }};
}

query<nothing> put(tenant_id tenant, std::string_view name, std::string_view what) {
  constexpr std::string_view text =
      "INSERT INTO kg.agentese_self (tenant_id, name, value) VALUES ($1, $2, $3::jsonb) "
      "ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value, updated_at = now()";
  return {{.tenant = tenant,
           .statements = {{text, {value(tenant), std::string{name}, std::string{what}}}}},
          parse_nothing};
}

query<std::vector<named_value>> state(tenant_id tenant) {
  constexpr std::string_view text =
      "SELECT name, value::text FROM kg.agentese_self WHERE name NOT LIKE 'soul/%' ORDER BY name";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<named_value> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.emplace_back(string_at(all[0], row, 0), string_at(all[0], row, 1));
            return out;
          }};
}

query<nothing> replace_state(tenant_id tenant, std::string_view content) {
  constexpr std::string_view drop =
      "DELETE FROM kg.agentese_self WHERE name NOT LIKE 'soul/%' AND NOT $1::jsonb ? name";
  constexpr std::string_view put =
      "INSERT INTO kg.agentese_self (tenant_id, name, value) "
      "SELECT $1, key, value FROM jsonb_each($2::jsonb) WHERE key NOT LIKE 'soul/%' "
      "ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value, updated_at = now()";
  return {{.tenant = tenant,
           .statements = {{drop, {std::string{content}}},
                          {put, {value(tenant), std::string{content}}}}},
          parse_nothing};
}

query<checkpoint_row> add_checkpoint(tenant_id tenant, std::string_view subject,
                                     std::string_view label, std::string_view prefix,
                                     std::string_view content, size_t keep) {
  constexpr std::string_view add =
      "INSERT INTO kg.agentese_checkpoints (tenant_id, subject, number, label, content) "
      "SELECT $1, $2, n, coalesce(nullif($3, ''), $4 || n), $5::jsonb FROM (SELECT "
      "coalesce(max(number), 0) + 1 AS n FROM kg.agentese_checkpoints WHERE subject = $2) next "
      "RETURNING number, label, '', " KGENTS_SQL_TIME("taken_at");
  constexpr std::string_view trim =
      "DELETE FROM kg.agentese_checkpoints WHERE subject = $1 AND number <= "
      "(SELECT max(number) FROM kg.agentese_checkpoints WHERE subject = $1) - $2::bigint";
  return {{.tenant = tenant,
           .statements = {{add,
                           {value(tenant), std::string{subject}, std::string{label},
                            std::string{prefix}, std::string{content}}},
                          {trim, {std::string{subject}, value(keep)}}}},
          [](std::vector<rows>& all) { return checkpoint_at(all[0], 0); }};
}

query<std::vector<checkpoint_row>> checkpoints(tenant_id tenant, std::string_view subject) {
  constexpr std::string_view text =
      "SELECT number, label, '', " KGENTS_SQL_TIME("taken_at") " FROM kg.agentese_checkpoints "
      "WHERE subject = $1 ORDER BY number";
  return {{.tenant = tenant, .statements = {{text, {std::string{subject}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<checkpoint_row> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(checkpoint_at(all[0], row));
            return out;
          }};
}

query<std::optional<checkpoint_row>> checkpoint(tenant_id tenant, std::string_view subject,
                                                uint64_t number) {
  constexpr std::string_view text = "SELECT number, label, content::text, " KGENTS_SQL_TIME(
      "taken_at") " FROM kg.agentese_checkpoints WHERE subject = $1 AND number = $2";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{subject}, value(number)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : std::optional{checkpoint_at(all[0], 0)};
          }};
}

}  // namespace kgents::sql::agentese_self
