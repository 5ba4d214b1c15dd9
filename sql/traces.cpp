#include "sql/traces.hpp"

#include "sql/columns.hpp"

// An event is written when its invocation is over.
#define KGENTS_STARTED "(created_at - duration_ms * interval '1 millisecond')"

namespace kgents::sql::traces {

namespace {

param microseconds(std::chrono::system_clock::time_point x) {
  return value(std::chrono::duration_cast<std::chrono::microseconds>(x.time_since_epoch()).count());
}

}  // namespace

query<std::vector<trace_row>> list(tenant_id tenant, const trace_search& search) {
  constexpr std::string_view text =
      "SELECT trace_id, path, error, duration_ms, " KGENTS_SQL_TIME("started_at") ", spans FROM ("
      "SELECT trace_id, coalesce("
      "string_agg(path || '.' || aspect, ' >> ' ORDER BY seq) FILTER (WHERE caller_path IS NULL), "
      "min(path || '.' || aspect)) AS path, "
      "bool_or(event_type <> 'invoked' AND caller_path IS NULL) AS error, "
      "(extract(epoch FROM max(created_at) - min" KGENTS_STARTED ") * 1000)::bigint AS duration_ms, "
      "min" KGENTS_STARTED " AS started_at, count(*) AS spans, max(seq) AS last, "
      "bool_or(path || '.' || aspect = $3 OR path = $3 OR starts_with(path, $3 || '.')) AS fits "
      "FROM kg.agentese_events WHERE tenant_id = kg.current_tenant_id() "
      "AND event_type <> 'changed' AND trace_id IS NOT NULL "
      "AND created_at >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond' "
      "AND created_at <= timestamptz 'epoch' + $2::bigint * interval '1 microsecond' "
      "GROUP BY trace_id) t "
      "WHERE ($3::text IS NULL OR fits) AND ($4::boolean IS NULL OR error = $4::boolean) "
      "ORDER BY last DESC LIMIT $5";
  return {{.tenant = tenant,
           .statements = {{text,
                           {microseconds(search.from), microseconds(search.to),
                            search.path.empty() ? param{} : param{search.path},
                            search.error ? param{*search.error ? "t" : "f"} : param{},
                            value(search.limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<trace_row> out;
            const auto& x = all[0];
            for (int row = 0; row < x.size(); ++row)
              out.push_back({.trace = string_at(x, row, 0),
                             .path = string_at(x, row, 1),
                             .error = x.boolean(row, 2),
                             .duration_ms = count_at<uint64_t>(x, row, 3),
                             .started_at = string_at(x, row, 4),
                             .spans = count_at<uint64_t>(x, row, 5)});
            return out;
          }};
}

query<std::vector<span_row>> spans(tenant_id tenant, std::string_view trace) {
  constexpr std::string_view text =
      "SELECT coalesce(span_id, ''), parent_span_id, path, aspect, status, event_type <> 'invoked', "
      "duration_ms, tokens, " KGENTS_SQL_TIME(KGENTS_STARTED)
      ", observer_archetype, origin, caller_path FROM kg.agentese_events "
      "WHERE tenant_id = kg.current_tenant_id() AND event_type <> 'changed' AND trace_id = $1 "
      "ORDER BY " KGENTS_STARTED ", seq LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{trace}, value(most_spans)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<span_row> out;
            const auto& x = all[0];
            for (int row = 0; row < x.size(); ++row)
              out.push_back({.span = string_at(x, row, 0),
                             .parent = x.optional_text(row, 1),
                             .path = string_at(x, row, 2),
                             .aspect = string_at(x, row, 3),
                             .status = string_at(x, row, 4),
                             .error = x.boolean(row, 5),
                             .duration_ms = count_at<uint64_t>(x, row, 6),
                             .tokens = count_at<uint64_t>(x, row, 7),
                             .started_at = string_at(x, row, 8),
                             .archetype = string_at(x, row, 9),
                             .origin = string_at(x, row, 10),
                             .caller = x.optional_text(row, 11)});
            return out;
          }};
}

}  // namespace kgents::sql::traces
