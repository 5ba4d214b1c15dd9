#include "sql/agentese_crystals.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_crystals {

namespace {

std::vector<crystal_end> ends_of(const rows& x) {
  std::vector<crystal_end> out;
  for (int row = 0; row < x.size(); ++row)
    out.push_back({id_at<crystal_id>(x, row, 0), string_at(x, row, 1), string_at(x, row, 2),
                   x.integer(row, 3)});
  return out;
}

#define KGENTS_SQL_CRYSTAL_END             \
  "crystal_id, task_id, " KGENTS_SQL_TIME( \
      "expires_at") ", ceil(extract(epoch FROM expires_at - now()))::bigint"

}  // namespace

query<std::string> create(tenant_id tenant, const crystal& what, int64_t ttl_seconds) {
  constexpr std::string_view text =
      "INSERT INTO kg.agentese_crystals (tenant_id, crystal_id, agent, task_id, task_description, "
      "task_status, progress, window_turns, working_memory, summary, preserved_count, "
      "dropped_count, parent, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, "
      "$9::jsonb, $10, $11, $12, $13, now() + $14::bigint * interval '1 second') "
      "RETURNING " KGENTS_SQL_TIME("expires_at");
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(tenant), value(what.id), what.agent, what.task_id,
                            what.task_description, what.task_status, std::to_string(what.progress),
                            what.window, what.working_memory, what.summary, value(what.preserved),
                            value(what.dropped), value(what.parent), value(ttl_seconds)}}}},
          [](std::vector<rows>& all) { return string_at(all[0], 0, 0); }};
}

query<std::optional<crystal>> get(tenant_id tenant, crystal_id id) {
  constexpr std::string_view text =
      "SELECT crystal_id, agent, task_id, task_description, task_status, "
      "(progress * 1000000)::bigint, window_turns::text, working_memory::text, summary, preserved_count, dropped_count, parent, "
      "pinned, " KGENTS_SQL_TIME("created_at") ", " KGENTS_SQL_TIME("expires_at")
      " FROM kg.agentese_crystals WHERE crystal_id = $1 AND (pinned OR expires_at > now())";
  return {{.tenant = tenant, .statements = {{text, {value(id)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            if (x.empty())
              return std::optional<crystal>{};
            return std::optional{crystal{.id = id_at<crystal_id>(x, 0, 0),
                                         .agent = string_at(x, 0, 1),
                                         .task_id = string_at(x, 0, 2),
                                         .task_description = string_at(x, 0, 3),
                                         .task_status = string_at(x, 0, 4),
                                         .progress = static_cast<double>(x.integer(0, 5)) / 1e6,
                                         .window = string_at(x, 0, 6),
                                         .working_memory = string_at(x, 0, 7),
                                         .summary = string_at(x, 0, 8),
                                         .preserved = count_at<uint32_t>(x, 0, 9),
                                         .dropped = count_at<uint32_t>(x, 0, 10),
                                         .parent = optional_id_at<crystal_id>(x, 0, 11),
                                         .pinned = x.boolean(0, 12),
                                         .created_at = string_at(x, 0, 13),
                                         .expires_at = string_at(x, 0, 14)}};
          }};
}

query<uint64_t> count(tenant_id tenant) {
  constexpr std::string_view text = "SELECT count(*) FROM kg.agentese_crystals";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

query<bool> pin(tenant_id tenant, crystal_id id, bool pinned) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_crystals SET pinned = $2 WHERE crystal_id = $1 RETURNING 1";
  return {{.tenant = tenant, .statements = {{text, {value(id), pinned ? "t" : "f"}}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

query<reaped_crystals> reap(tenant_id tenant, size_t most) {
  constexpr std::string_view text =
      "DELETE FROM kg.agentese_crystals WHERE crystal_id IN (SELECT crystal_id FROM "
      "kg.agentese_crystals WHERE NOT pinned AND expires_at <= now() ORDER BY expires_at LIMIT $1) "
      "RETURNING " KGENTS_SQL_CRYSTAL_END;
  constexpr std::string_view rest = "SELECT count(*) FROM kg.agentese_crystals";
  return {{.tenant = tenant, .statements = {{text, {value(most)}}, {rest}}},
          [](std::vector<rows>& all) {
            return reaped_crystals{ends_of(all[0]), count_at<uint64_t>(all[1], 0, 0)};
          }};
}

query<std::vector<crystal_end>> expiring(tenant_id tenant, int64_t within_seconds, size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_CRYSTAL_END
      " FROM kg.agentese_crystals WHERE NOT pinned AND expires_at > now() AND "
      "expires_at <= now() + $1::bigint * interval '1 second' ORDER BY expires_at LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {value(within_seconds), value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) { return ends_of(all[0]); }};
}

}  // namespace kgents::sql::agentese_crystals
