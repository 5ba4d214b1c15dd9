#include "sql/agentese_figures.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_figures {

query<tenant_counts> counts(tenant_id tenant) {
  constexpr std::string_view text =
      "SELECT (SELECT count(*) FROM kg.memories WHERE agent_id = 'self'), "
      "(SELECT count(*) FROM kg.agentese_crystals), "
      "(SELECT count(*) FROM kg.agentese_concept_memories), "
      "(SELECT count(*) FROM kg.agentese_tokens WHERE resolved_at IS NULL AND cancelled_at IS NULL "
      "AND voided_at IS NULL AND (deadline IS NULL OR deadline > now())), "
      "(SELECT count(*) FROM kg.sessions WHERE deleted_at IS NULL), "
      "(SELECT count(*) FROM kg.agentese_nodes)";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) {
            const auto n = [&](int column) { return count_at<uint64_t>(all[0], 0, column); };
            return tenant_counts{n(0), n(1), n(2), n(3), n(4), n(5)};
          }};
}

query<vital_signs> vitals(tenant_id tenant) {
  constexpr std::string_view server =
      "SELECT pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('fsync')";
  constexpr std::string_view log = "SELECT last_seq, trimmed_seq FROM kg.agentese_clock";
  constexpr std::string_view newest =
      "SELECT count(*), count(*) FILTER (WHERE event_type = 'error'), "
      "count(*) FILTER (WHERE event_type = 'refused'), "
      "percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms), "
      "percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms), max(duration_ms), "
      "floor(extract(epoch FROM clock_timestamp() - max(created_at)))::bigint "
      "FROM (SELECT event_type, duration_ms, created_at FROM kg.agentese_events "
      "WHERE event_type <> 'changed' ORDER BY seq DESC LIMIT 200) e";
  return {{.tenant = tenant, .statements = {{server}, {log}, {newest}}, .read_only = true},
          [](std::vector<rows>& all) {
            vital_signs out;
            out.in_recovery = all[0].boolean(0, 0);
            out.synchronous_commit = string_at(all[0], 0, 1);
            out.fsync = string_at(all[0], 0, 2);
            if (!all[1].empty()) {
              out.last_seq = all[1].integer(0, 0);
              out.trimmed_seq = all[1].integer(0, 1);
            }
            const auto& x = all[2];
            out.invocations = count_at<uint64_t>(x, 0, 0);
            out.errors = count_at<uint64_t>(x, 0, 1);
            out.refusals = count_at<uint64_t>(x, 0, 2);
            out.median_ms = x.integer(0, 3);
            out.p95_ms = x.integer(0, 4);
            out.longest_ms = x.integer(0, 5);
            if (!x.is_null(0, 6))
              out.idle_seconds = x.integer(0, 6);
            return out;
          }};
}

}  // namespace kgents::sql::agentese_figures
