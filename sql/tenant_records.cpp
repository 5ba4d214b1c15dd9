#include "sql/tenant_records.hpp"

#include "sql/columns.hpp"

// In the order in which `tenant_at` reads them. A macro, since SQL is literals only.
#define KGENTS_TENANT_COLUMNS                                                                     \
  "id, name, slug, tier, status, stripe_customer_id, tokens_used_month, tokens_limit_month, "     \
  "rate_limit_rpm, rate_limit_custom, rate_limit_rph, rate_burst, requests_per_day, data_plane, " \
  "settings, members, " KGENTS_SQL_TIME("created_at") ", " KGENTS_SQL_TIME("updated_at")

namespace kgents::sql::tenant_records {

namespace {

// The counter is of usage_period, which lags behind until the first event of a new month.
constexpr std::string_view own =
    "SELECT " KGENTS_TENANT_COLUMNS " FROM (SELECT t.id, t.name, t.slug, t.subscription_tier AS tier, "
    "t.subscription_status AS status, t.stripe_customer_id, CASE WHEN t.usage_period = "
    "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') THEN t.tokens_used_month ELSE 0 END "
    "AS tokens_used_month, t.tokens_limit_month, t.rate_limit_rpm, t.rate_limit_custom, "
    "t.rate_limit_rph, t.rate_burst, t.requests_per_day, t.data_plane, t.settings, "
    "(SELECT count(*) FROM kg.users u WHERE u.tenant_id = t.id AND u.deleted_at IS NULL) AS members, "
    "t.created_at, t.updated_at FROM kg.tenants t "
    "WHERE t.id = kg.current_tenant_id() AND t.deleted_at IS NULL) x";

constexpr std::string_view any = "SELECT " KGENTS_TENANT_COLUMNS
                                 ", total FROM kg.platform_tenants($1, $2, $3, $4, $5, $6)";

std::optional<uint32_t> number_at(const rows& x, int row, int column) {
  return x.is_null(row, column) ? std::nullopt
                                : std::optional{count_at<uint32_t>(x, row, column)};
}

tenant_record tenant_at(const rows& x, int row) {
  return {.id = id_at<tenant_id>(x, row, 0),
          .name = string_at(x, row, 1),
          .slug = string_at(x, row, 2),
          .tier = string_at(x, row, 3),
          .status = string_at(x, row, 4),
          .stripe_customer = x.optional_text(row, 5),
          .tokens_used_month = count_at<uint64_t>(x, row, 6),
          .tokens_limit_month = count_at<uint64_t>(x, row, 7),
          .requests_per_minute = count_at<uint32_t>(x, row, 8),
          .negotiated_rate = x.boolean(row, 9),
          .requests_per_hour = number_at(x, row, 10),
          .burst = number_at(x, row, 11),
          .operations_per_day = number_at(x, row, 12),
          .data_plane = string_at(x, row, 13),
          .settings = string_at(x, row, 14),
          .members = count_at<uint64_t>(x, row, 15),
          .created_at = string_at(x, row, 16),
          .updated_at = string_at(x, row, 17)};
}

/// The list's function answers one row of nulls where nothing fits.
std::optional<tenant_record> tenant_of(const rows& x) {
  return x.empty() || x.is_null(0, 0) ? std::nullopt : std::optional{tenant_at(x, 0)};
}

acted<tenant_record> acted_of(std::vector<rows>& all) {
  acted<tenant_record> out{.result = act_result_at(all[0]), .row = {}};
  if (out.result.done())
    out.row = tenant_of(all[1]);
  return out;
}

statement looked_at(tenant_id tenant) {
  return {any, {value(tenant), std::nullopt, std::nullopt, std::nullopt, "1", "0"}};
}

param text_or_null(const std::string& x) { return x.empty() ? param{} : param{x}; }

}  // namespace

query<std::optional<tenant_record>> get(tenant_id tenant) {
  return {{.tenant = tenant, .where = plane::control, .statements = {{own}}, .read_only = true},
          [](std::vector<rows>& all) { return tenant_of(all[0]); }};
}

query<acted<tenant_record>> update(const acting& who, std::optional<std::string> name,
                                   std::optional<std::string> settings) {
  return {{.tenant = who.tenant,
           .where = plane::control,
           .statements = {{"SELECT kg.update_tenant($1, $2, $3)",
                           {who_param(who), std::move(name), std::move(settings)}},
                          {own}}},
          acted_of};
}

query<tenant_page> list(const tenant_filter& filter) {
  return {{.statements = {{any,
                           {std::nullopt, text_or_null(filter.slug), text_or_null(filter.tier),
                            text_or_null(filter.status), value(filter.limit),
                            value(filter.offset)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            tenant_page out{.tenants = {}, .total = count_at<uint64_t>(x, 0, 18)};
            for (int row = 0; row < x.size() && !x.is_null(row, 0); ++row)
              out.tenants.push_back(tenant_at(x, row));
            return out;
          }};
}

query<std::optional<tenant_record>> look(tenant_id tenant) {
  return {{.statements = {looked_at(tenant)}, .read_only = true},
          [](std::vector<rows>& all) { return tenant_of(all[0]); }};
}

query<acted<tenant_record>> create(const acting& who, const new_tenant& fresh) {
  return {{.statements = {{"SELECT kg.platform_create_tenant($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                           {operator_param(who), value(fresh.id), fresh.name, fresh.slug,
                            fresh.tier, value(fresh.owner), fresh.owner_email,
                            value(fresh.key.id), fresh.key.prefix, fresh.key.hash}},
                          looked_at(fresh.id)}},
          acted_of};
}

query<acted<tenant_record>> change(const acting& who, tenant_id tenant, std::string changes) {
  return {{.statements = {{"SELECT kg.platform_update_tenant($1, $2, $3)",
                           {operator_param(who), value(tenant), std::move(changes)}},
                          looked_at(tenant)}},
          acted_of};
}

query<act_result> remove(const acting& who, tenant_id tenant) {
  return {{.statements = {{"SELECT kg.platform_delete_tenant($1, $2)",
                           {operator_param(who), value(tenant)}}}},
          [](std::vector<rows>& all) { return act_result_at(all[0]); }};
}

}  // namespace kgents::sql::tenant_records
