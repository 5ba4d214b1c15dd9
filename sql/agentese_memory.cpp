#include "sql/agentese_memory.hpp"

#include "sql/columns.hpp"
#include "sql/like_pattern.hpp"

namespace kgents::sql::agentese_memory {

namespace {

memory_change parse_change(std::vector<rows>& all) {
  return {count_at<uint64_t>(all[0], 0, 0), count_at<uint64_t>(all[0], 0, 1)};
}

}  // namespace

query<std::optional<std::string>> get(tenant_id tenant, std::string_view key) {
  constexpr std::string_view text =
      "SELECT coalesce(value, to_jsonb(content))::text FROM kg.memories "
      "WHERE id = $1 AND agent_id = 'self'";
  return {{.tenant = tenant, .statements = {{text, {std::string{key}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : all[0].optional_text(0, 0);
          }};
}

query<std::vector<memory_row>> search(tenant_id tenant, std::string_view what, size_t limit) {
  constexpr std::string_view text =
      "SELECT m.id, coalesce(m.value, to_jsonb(m.content))::text FROM "
      "kg.search_memories('self', $1, $2, $3) found JOIN kg.memories m ON m.id = found.id "
      "ORDER BY found.place";
  return {{.tenant = tenant,
           .statements = {{text, {pattern_of(what), std::string{what}, value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<memory_row> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({string_at(all[0], row, 0), string_at(all[0], row, 1)});
            return out;
          }};
}

query<memory_keys> keys(tenant_id tenant, size_t limit) {
  constexpr std::string_view text =
      "SELECT total.n, page.id FROM (SELECT count(*) AS n FROM kg.memories WHERE agent_id = "
      "'self') "
      "total LEFT JOIN (SELECT id, updated_at FROM kg.memories WHERE agent_id = 'self' "
      "ORDER BY updated_at DESC, id LIMIT $1) page ON true ORDER BY page.updated_at DESC, page.id";
  return {{.tenant = tenant, .statements = {{text, {value(limit)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            memory_keys out;
            out.total = count_at<uint64_t>(x, 0, 0);
            for (int row = 0; row < x.size() && !x.is_null(row, 1); ++row)
              out.keys.push_back(string_at(x, row, 1));
            return out;
          }};
}

query<memory_room> room(tenant_id tenant, std::string_view key) {
  constexpr std::string_view text =
      "SELECT (SELECT count(*) FROM kg.memories WHERE agent_id = 'self'), "
      "(SELECT agent_id = 'self' FROM kg.memories WHERE id = $1)";
  return {{.tenant = tenant, .statements = {{text, {std::string{key}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            return memory_room{count_at<uint64_t>(x, 0, 0), !x.is_null(0, 1),
                               !x.is_null(0, 1) && !x.boolean(0, 1)};
          }};
}

query<bool> put(tenant_id tenant, const new_memory& memory) {
  constexpr std::string_view text =
      "INSERT INTO kg.memories AS m (id, tenant_id, agent_id, content, value, relevance, metadata) "
      "VALUES ($1, $2, 'self', $3, $4::jsonb, $5, jsonb_strip_nulls(jsonb_build_object("
      "'subdirectory', nullif($6, ''), 'temporary', CASE WHEN $7::boolean THEN true END))) "
      "ON CONFLICT (tenant_id, id) DO UPDATE SET content = excluded.content, "
      "value = excluded.value, relevance = excluded.relevance, metadata = excluded.metadata "
      "WHERE m.agent_id = 'self' RETURNING 1";
  return {{.tenant = tenant,
           .statements = {{text,
                           {memory.key, value(tenant), memory.content, memory.value,
                            std::to_string(memory.relevance), memory.subdirectory,
                            memory.temporary ? "t" : "f"}}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

query<bool> remove(tenant_id tenant, std::string_view key) {
  constexpr std::string_view text =
      "DELETE FROM kg.memories WHERE id = $1 AND agent_id = 'self' RETURNING 1";
  return {{.tenant = tenant, .statements = {{text, {std::string{key}}}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

query<memory_change> consolidate(tenant_id tenant) {
  constexpr std::string_view text =
      "WITH kept AS (UPDATE kg.memories SET metadata = (metadata - 'temporary') || "
      "jsonb_build_object('consolidated_at', " KGENTS_SQL_TIME("now()") ") "
      "WHERE agent_id = 'self' AND metadata ? 'temporary' RETURNING 1) "
      "SELECT (SELECT count(*) FROM kept), "
      "(SELECT count(*) FROM kg.memories WHERE agent_id = 'self')";
  return {{.tenant = tenant, .statements = {{text}}}, parse_change};
}

query<memory_change> prune(tenant_id tenant, double threshold) {
  // The statement sees the rows of before it, hence the difference.
  constexpr std::string_view text =
      "WITH dropped AS (DELETE FROM kg.memories WHERE agent_id = 'self' AND "
      "relevance < $1::double precision RETURNING 1), n AS (SELECT count(*) AS n FROM dropped) "
      "SELECT n.n, (SELECT count(*) FROM kg.memories WHERE agent_id = 'self') - n.n FROM n";
  return {{.tenant = tenant, .statements = {{text, {std::to_string(threshold)}}}}, parse_change};
}

}  // namespace kgents::sql::agentese_memory
