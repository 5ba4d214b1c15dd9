#include "sql/agentese_graph.hpp"

#include <algorithm>

#include "sql/columns.hpp"

namespace kgents::sql::agentese_graph {

query<std::vector<agentese_call>> calls(tenant_id tenant, size_t limit) {
  constexpr std::string_view text =
      "SELECT caller_path, path || '.' || aspect, count(*) FROM kg.agentese_events"
      " WHERE caller_path IS NOT NULL AND event_type <> 'changed'"
      " GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $1";
  return {{.tenant = tenant, .statements = {{text, {value(limit)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<agentese_call> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({string_at(all[0], row, 0), string_at(all[0], row, 1),
                             all[0].integer(row, 2)});
            return out;
          }};
}

query<std::vector<agentese_path_count>> paths(tenant_id tenant,
                                              std::chrono::system_clock::time_point until,
                                              size_t limit) {
  constexpr std::string_view text =
      "SELECT path || '.' || aspect, count(*) FROM kg.agentese_events"
      " WHERE event_type <> 'changed'"
      " AND created_at <= timestamptz 'epoch' + $1::bigint * interval '1 microsecond'"
      " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $2";
  const auto since =
      std::chrono::duration_cast<std::chrono::microseconds>(until.time_since_epoch()).count();
  return {{.tenant = tenant,
           .statements = {{text, {value(since), value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<agentese_path_count> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({string_at(all[0], row, 0), all[0].integer(row, 1)});
            return out;
          }};
}

query<std::vector<int64_t>> times(tenant_id tenant, std::string_view node, std::string_view aspect,
                                  size_t limit) {
  constexpr std::string_view text =
      "SELECT (extract(epoch FROM created_at) * 1000000)::bigint FROM kg.agentese_events"
      " WHERE path = $1 AND ($2::text IS NULL OR aspect = $2::text) AND event_type <> 'changed'"
      " ORDER BY seq DESC LIMIT $3";
  const auto wanted = aspect.empty() ? param{} : param{std::string{aspect}};
  return {{.tenant = tenant,
           .statements = {{text, {std::string{node}, wanted, value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<int64_t> out;
            for (int row = all[0].size() - 1; row >= 0; --row)
              out.push_back(all[0].integer(row, 0));
            return out;
          }};
}

}  // namespace kgents::sql::agentese_graph
