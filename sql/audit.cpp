#include "sql/audit.hpp"

#include "sql/columns.hpp"

#define KGENTS_AUDIT_FILTER                                                                    \
  " FROM kg.audit_log WHERE tenant_id = kg.current_tenant_id()"                                \
  " AND ($1::text IS NULL OR action = $1::text OR starts_with(action, $1::text || '.'))"       \
  " AND ($2::text IS NULL OR object_type = $2::text)"                                          \
  " AND ($3::uuid IS NULL OR object_id = $3::uuid OR $3::uuid = ANY (also))"                   \
  " AND ($4::uuid IS NULL OR actor_user = $4::uuid)"                                           \
  " AND ($5::uuid IS NULL OR actor_key = $5::uuid)"

namespace kgents::sql::audit {

namespace {

param text_or_null(const std::string& x) { return x.empty() ? param{} : param{x}; }

audit_row entry_at(const rows& x, int row) {
  return {.id = x.integer(row, 0),
          .at = string_at(x, row, 1),
          .actor_kind = string_at(x, row, 2),
          .actor_user = optional_id_at<user_id>(x, row, 3),
          .actor_key = optional_id_at<api_key_id>(x, row, 4),
          .actor_prefix = x.optional_text(row, 5),
          .actor_name = x.optional_text(row, 6),
          .action = string_at(x, row, 7),
          .object_type = string_at(x, row, 8),
          .object = x.optional_text(row, 9),
          .also = string_at(x, row, 10),
          .outcome = string_at(x, row, 11),
          .details = string_at(x, row, 12),
          .request = x.optional_text(row, 13),
          .address = x.optional_text(row, 14)};
}

audit_page page_of(std::vector<rows>& all) {
  const auto& x = all[0];
  const auto limit = static_cast<int>(all[1].integer(0, 1));
  audit_page out{.entries = {},
                 .more = x.size() > limit,
                 .total = count_at<uint64_t>(all[1], 0, 0)};
  for (int row = 0; row < x.size() && row < limit; ++row)
    out.entries.push_back(entry_at(x, row));
  return out;
}

}  // namespace

query<audit_page> page(tenant_id tenant, const audit_filter& filter) {
  constexpr std::string_view entries =
      "SELECT id, " KGENTS_SQL_TIME("at")
      ", actor_kind, actor_user, actor_key, actor_prefix, actor_name, action, object_type, "
      "object_id, to_json(also), outcome, details, request_id, address" KGENTS_AUDIT_FILTER
      " AND ($6::bigint IS NULL OR id < $6::bigint) ORDER BY id DESC LIMIT $7::bigint + 1";
  constexpr std::string_view total = "SELECT count(*), $6::bigint" KGENTS_AUDIT_FILTER;
  std::vector<param> fit{text_or_null(filter.action), text_or_null(filter.object_type),
                         filter.object ? param{filter.object->text()} : param{},
                         value(filter.actor_user), value(filter.actor_key)};
  auto paged = fit;
  paged.push_back(filter.before ? value(*filter.before) : param{});
  paged.push_back(value(filter.limit));
  fit.push_back(value(filter.limit));
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{entries, std::move(paged)}, {total, std::move(fit)}},
           .read_only = true},
          page_of};
}

statement governance_statement(api_key_id key, std::string_view outcome, std::string details) {
  return {"SELECT kg.audit_governance($1, $2, $3)",
          {value(key), std::string{outcome}, std::move(details)}};
}

query<nothing> governance(tenant_id tenant, api_key_id key, std::string_view outcome,
                          std::string details) {
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {governance_statement(key, outcome, std::move(details))}},
          [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::audit
