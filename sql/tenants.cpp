#include "sql/tenants.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::tenants {

namespace {

std::optional<tenant_row> parse_tenant(std::vector<rows>& all) {
  const auto& x = all[0];
  if (x.empty())
    return std::nullopt;
  return tenant_row{.id = id_at<tenant_id>(x, 0, 0),
                    .name = string_at(x, 0, 1),
                    .tier = string_at(x, 0, 2),
                    .status = string_at(x, 0, 3),
                    .tokens_limit_month = count_at<uint64_t>(x, 0, 4),
                    .tokens_used_month = count_at<uint64_t>(x, 0, 5),
                    .data_plane = string_at(x, 0, 6)};
}

}  // namespace

query<std::optional<tenant_row>> get(tenant_id tenant) {
  // The counter is of usage_period, which lags behind until the first event of a new month.
  constexpr std::string_view text =
      "SELECT id, name, subscription_tier, subscription_status, tokens_limit_month, "
      "CASE WHEN usage_period = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') "
      "THEN tokens_used_month ELSE 0 END, data_plane FROM kg.tenants WHERE id = $1 "
      "AND deleted_at IS NULL";
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{text, {value(tenant)}}},
           .read_only = true},
          parse_tenant};
}

}  // namespace kgents::sql::tenants
