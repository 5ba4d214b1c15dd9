#include "sql/usage_thresholds.hpp"

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql::usage_thresholds {

query<std::vector<crossed_threshold>> cross(uint32_t most) {
  constexpr std::string_view text =
      "SELECT id, tenant, period, percent, tokens_used, tokens_limit, " KGENTS_SQL_TIME(
          "crossed_at") " FROM kg.cross_usage_thresholds($1)";
  return {{.statements = {{text, {value(most)}}}}, [](std::vector<rows>& all) {
            std::vector<crossed_threshold> out;
            const auto& x = all[0];
            for (int i = 0; i < x.size(); ++i)
              out.push_back({.id = x.id(i, 0),
                             .tenant = id_at<tenant_id>(x, i, 1),
                             .period = string_at(x, i, 2),
                             .percent = count_at<uint32_t>(x, i, 3),
                             .tokens_used = count_at<uint64_t>(x, i, 4),
                             .tokens_limit = count_at<uint64_t>(x, i, 5),
                             .crossed_at = string_at(x, i, 6)});
            return out;
          }};
}

query<nothing> told(const std::vector<uuid>& ids) {
  std::string list;
  for (const auto& x : ids) {
    begin_element(list);
    x.append_to(list);
  }
  return {{.statements = {{"SELECT kg.usage_thresholds_told($1)", {take_array(list)}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::usage_thresholds
