#include "sql/usage_report.hpp"

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql::usage {

namespace {

param text_or_null(const std::string& x) { return x.empty() ? param{} : param{x}; }

std::string list_of(const std::vector<std::string>& all) {
  std::string out;
  for (const auto& x : all) {
    begin_element(out);
    append_quoted(out, x);
  }
  return take_array(out);
}

usage_report report_of(std::vector<rows>& all) {
  usage_report out;
  const auto& sums = all[0];
  for (int i = 0; i < sums.size(); ++i)
    out.sums.push_back({.type = string_at(sums, i, 0),
                        .source = string_at(sums, i, 1),
                        .events = count_at<uint64_t>(sums, i, 2),
                        .tokens_in = count_at<uint64_t>(sums, i, 3),
                        .tokens_out = count_at<uint64_t>(sums, i, 4),
                        .storage_bytes = count_at<uint64_t>(sums, i, 5),
                        .compute_ms = count_at<uint64_t>(sums, i, 6)});
  if (const auto requests = count_at<uint64_t>(all[1], 0, 0); requests > 0)
    out.sums.push_back({.type = "api_call", .source = "api", .events = requests});
  if (const auto& tenant = all[2]; !tenant.empty()) {
    out.tokens_limit_month = count_at<uint64_t>(tenant, 0, 0);
    out.tokens_used_month = count_at<uint64_t>(tenant, 0, 1);
  }
  const auto& crossed = all[3];
  for (int i = 0; i < crossed.size(); ++i)
    out.thresholds.push_back({string_at(crossed, i, 0), count_at<uint32_t>(crossed, i, 1),
                              string_at(crossed, i, 2)});
  return out;
}

user_usage user_of(std::vector<rows>& all) {
  user_usage out;
  const auto& requests = all[0];
  for (int i = 0; i < requests.size(); ++i) {
    const auto count = count_at<uint64_t>(requests, i, 1);
    out.requests_today += count;
    out.endpoints.emplace_back(string_at(requests, i, 0), count);
  }
  const auto& times = all[1];
  if (!times.empty()) {
    out.first_request_today = times.optional_text(0, 0);
    out.last_request = times.optional_text(0, 1);
  }
  const auto& work = all[2];
  out.operations_today = count_at<uint64_t>(work, 0, 0);
  out.tokens_today = count_at<uint64_t>(work, 0, 1);
  out.tokens_month = count_at<uint64_t>(work, 0, 2);
  return out;
}

usage_page page_of(std::vector<rows>& all) {
  usage_page out;
  out.cursor_exists = all[0].boolean(0, 0);
  const auto limit = count_at<uint32_t>(all[0], 0, 1);
  if (!all[0].is_null(0, 2))
    out.total = count_at<uint64_t>(all[0], 0, 2);
  const auto& x = all[1];
  out.more = static_cast<uint32_t>(x.size()) > limit;
  for (int i = 0; i < x.size() && static_cast<uint32_t>(i) < limit; ++i) {
    usage_row row;
    auto& e = row.event;
    e.id = id_at<usage_id>(x, i, 0);
    e.type = string_at(x, i, 1);
    e.source = string_at(x, i, 2);
    e.tokens_in = count_at<uint32_t>(x, i, 3);
    e.tokens_out = count_at<uint32_t>(x, i, 4);
    e.storage_bytes = count_at<uint64_t>(x, i, 5);
    e.compute_ms = count_at<uint32_t>(x, i, 6);
    e.session = optional_id_at<session_id>(x, i, 7);
    e.api_key = optional_id_at<api_key_id>(x, i, 8);
    e.agentese_path = x.optional_text(i, 9);
    e.model = x.optional_text(i, 10);
    e.endpoint = x.optional_text(i, 11);
    e.method = x.optional_text(i, 12);
    if (!x.is_null(i, 13))
      e.status_code = count_at<uint16_t>(x, i, 13);
    row.quantity = count_at<uint32_t>(x, i, 14);
    row.period = string_at(x, i, 15);
    row.created_at = string_at(x, i, 16);
    out.events.push_back(std::move(row));
  }
  return out;
}

}  // namespace

query<usage_report> report(tenant_id tenant, const usage_span& span) {
  // Work is added up when it is asked for, requests are as they are written.
  constexpr std::string_view work =
      "SELECT event_type, source, sum(quantity), sum(tokens_in), sum(tokens_out), "
      "sum(storage_bytes)::bigint, sum(compute_ms) FROM kg.usage_events "
      "WHERE tenant_id = kg.current_tenant_id() AND billing_period = ANY ($1::text[]) "
      "AND ($2::timestamptz IS NULL OR created_at >= $2::timestamptz) "
      "AND ($3::timestamptz IS NULL OR created_at < $3::timestamptz) "
      "AND NOT (event_type = 'api_call' AND source = 'api') GROUP BY 1, 2 ORDER BY 1, 2";
  constexpr std::string_view requests =
      "SELECT coalesce(sum(requests), 0)::bigint FROM kg.request_counts "
      "WHERE tenant_id = kg.current_tenant_id() AND day >= $1::date AND day < $2::date";
  constexpr std::string_view limits =
      "SELECT tokens_limit_month, CASE WHEN usage_period = to_char(now() AT TIME ZONE 'UTC', "
      "'YYYY-MM') THEN tokens_used_month ELSE 0 END FROM kg.tenants "
      "WHERE id = kg.current_tenant_id()";
  constexpr std::string_view thresholds =
      "SELECT period, percent, " KGENTS_SQL_TIME(
          "crossed_at") " FROM kg.usage_thresholds WHERE tenant_id = kg.current_tenant_id() "
      "AND period = ANY ($1::text[]) ORDER BY period, percent";
  const auto months = list_of(span.months);
  // A month is what was billed in it, not what its days say.
  const bool days = span.from.substr(8) != "01" || span.months.size() > 1 ||
                    span.to.substr(8) != "01";
  const auto moment = [&](const std::string& day) {
    return days ? param{day + "T00:00:00Z"} : param{};
  };
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{work, {months, moment(span.from), moment(span.to)}},
                          {requests, {span.from, span.to}},
                          {limits},
                          {thresholds, {months}}},
           .read_only = true},
          report_of};
}

// The keys of whoever holds this one.
#define KGENTS_USERS_KEYS                                                                     \
  "(SELECT other.id FROM kg.api_keys mine JOIN kg.api_keys other "                            \
  "ON other.tenant_id = mine.tenant_id AND (other.id = mine.id OR "                           \
  "coalesce(other.user_ref, other.user_id::text) = coalesce(mine.user_ref, mine.user_id::text)) " \
  "WHERE mine.tenant_id = kg.current_tenant_id() AND mine.id = $1)"

query<user_usage> of_user(tenant_id tenant, api_key_id key) {
  constexpr std::string_view endpoints =
      "SELECT endpoint, sum(requests)::bigint FROM kg.request_counts "
      "WHERE tenant_id = kg.current_tenant_id() AND day = (now() AT TIME ZONE 'UTC')::date "
      "AND api_key_id IN " KGENTS_USERS_KEYS " GROUP BY endpoint ORDER BY endpoint";
  constexpr std::string_view times =
      "SELECT " KGENTS_SQL_TIME("min(first_at)") ", " KGENTS_SQL_TIME("max(last_at)")
      " FROM kg.request_counts "
      "WHERE tenant_id = kg.current_tenant_id() AND day = (now() AT TIME ZONE 'UTC')::date "
      "AND api_key_id IN " KGENTS_USERS_KEYS;
  constexpr std::string_view work =
      "SELECT coalesce(sum(operations) FILTER (WHERE period = to_char(now() AT TIME ZONE 'UTC', "
      "'YYYY-MM-DD')), 0)::bigint, coalesce(sum(tokens) FILTER (WHERE period = to_char(now() AT "
      "TIME ZONE 'UTC', 'YYYY-MM-DD')), 0)::bigint, coalesce(sum(tokens) FILTER (WHERE period = "
      "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')), 0)::bigint FROM kg.usage_counters "
      "WHERE tenant_id = kg.current_tenant_id() AND period IN (to_char(now() AT TIME ZONE 'UTC', "
      "'YYYY-MM-DD'), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')) "
      "AND api_key_id IN " KGENTS_USERS_KEYS;
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{endpoints, {value(key)}}, {times, {value(key)}}, {work, {value(key)}}},
           .read_only = true},
          user_of};
}

#define KGENTS_USAGE_FILTER                                                                 \
  " FROM kg.usage_events u WHERE u.tenant_id = kg.current_tenant_id()"                      \
  " AND ($1::text IS NULL OR u.event_type = $1) AND ($2::text IS NULL OR u.source = $2)"    \
  " AND ($3::text IS NULL OR u.billing_period = $3)"                                        \
  " AND ($4::uuid IS NULL OR u.session_id = $4) AND ($5::uuid IS NULL OR u.api_key_id = $5)"

query<usage_page> page(tenant_id tenant, const usage_filter& filter) {
  constexpr std::string_view cursor =
      "SELECT $6::uuid IS NULL OR EXISTS (SELECT FROM kg.usage_events c "
      "WHERE c.tenant_id = kg.current_tenant_id() AND c.id = $6), $7::bigint, "
      "CASE WHEN $6::uuid IS NULL THEN (SELECT count(*)" KGENTS_USAGE_FILTER ") END";
  constexpr std::string_view page =
      "SELECT u.id, u.event_type, u.source, u.tokens_in, u.tokens_out, u.storage_bytes, "
      "u.compute_ms, u.session_id, u.api_key_id, u.agentese_path, u.model, u.endpoint, u.method, "
      "u.status_code, u.quantity, u.billing_period, " KGENTS_SQL_TIME("u.created_at")
      KGENTS_USAGE_FILTER
      " AND ($6::uuid IS NULL OR (u.created_at, u.id) < (SELECT c.created_at, c.id "
      "FROM kg.usage_events c WHERE c.tenant_id = kg.current_tenant_id() AND c.id = $6)) "
      "ORDER BY u.created_at DESC, u.id DESC LIMIT $7::bigint + 1 OFFSET $8::bigint";
  std::vector<param> head{text_or_null(filter.type), text_or_null(filter.source),
                          text_or_null(filter.period), value(filter.session), value(filter.key),
                          value(filter.after),        value(filter.limit)};
  auto rest = head;
  rest.push_back(value(filter.offset));
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{cursor, std::move(head)}, {page, std::move(rest)}},
           .read_only = true},
          page_of};
}

}  // namespace kgents::sql::usage
