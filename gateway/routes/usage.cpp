// What a tenant has used (http-api.md section 10, events-and-billing.md section 9). The tenant is the
// credential's, whatever the request says.

#include "gateway/routes/usage.hpp"

#include <algorithm>
#include <cstdio>

#include "gateway/shapes.hpp"
#include "sql/usage_report.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using enum value_type;

constexpr std::string_view metrics[] = {"tokens", "sessions", "api_calls"};
constexpr std::string_view types[] = {
    "agentese_invoke", "kgent_message", "storage_write", "storage_read", "embedding",
    "api_call",        "session_create", "llm_call",     "gpu_seconds"};

constexpr field usage_query[] = {
    {.name = "period",
     .default_json = "\"month\"",
     .meaning = "day, week (from Monday), month or current, previous, or YYYY-MM; UTC."},
    {.name = "metric",
     .nullable = true,
     .meaning = "Which events event_count counts; all when it is left out.",
     .one_of = metrics},
};

constexpr field events_query[] = {
    {.name = "type", .nullable = true, .one_of = types},
    {.name = "source", .nullable = true, .meaning = "api, kgent, soul, agentese, …", .max_bytes = 64},
    {.name = "period", .nullable = true, .meaning = "current, previous or YYYY-MM; UTC."},
    {.name = "session_id", .nullable = true, .meaning = "uuid"},
    {.name = "api_key_id", .nullable = true, .meaning = "uuid"},
    {.name = "limit",
     .type = integer,
     .default_json = "20",
     .meaning = "How many at most; 1 to 100.",
     .least = 1,
     .most = 100,
     .clamp = true},
    {.name = "offset",
     .type = integer,
     .default_json = "0",
     .meaning = "How many to skip; the cursor stays fast where this does not.",
     .least = 0},
    {.name = "cursor",
     .nullable = true,
     .meaning = "next_cursor of the page before; events that came since do not shift it."},
};

constexpr field usage_fields[] = {
    {.name = "period", .required = true, .meaning = "as it was asked for"},
    {.name = "billing_period", .required = true, .meaning = "YYYY-MM"},
    {.name = "from", .required = true, .meaning = "YYYY-MM-DD, inclusive"},
    {.name = "to", .required = true, .meaning = "exclusive"},
    {.name = "tokens_in", .type = integer, .required = true},
    {.name = "tokens_out", .type = integer, .required = true},
    {.name = "total_tokens", .type = integer, .required = true},
    {.name = "event_count", .type = integer, .required = true},
    {.name = "storage_bytes", .type = integer, .required = true},
    {.name = "compute_ms", .type = integer, .required = true},
    {.name = "tokens_limit",
     .type = integer,
     .required = true,
     .meaning = "the tenant's of the current month; 0: unlimited"},
    {.name = "tokens_remaining",
     .type = integer,
     .required = true,
     .nullable = true,
     .meaning = "of the current month; null: unlimited"},
    {.name = "usage_percentage", .type = number, .required = true, .meaning = "0 to 100"},
    {.name = "events", .type = object, .required = true, .meaning = "count by type"},
    {.name = "thresholds",
     .type = array,
     .required = true,
     .meaning = "period, percent (50, 80, 100) of the month's tokens, crossed_at"},
    {.name = "user",
     .type = object,
     .required = true,
     .meaning = "of the key's user: user_id, requests_today (metered operations), "
                "api_requests_today, tokens_today, tokens_month, first_request_today, "
                "last_request, endpoints_hit (today, by route template)"},
};
constexpr schema usage_shape{"UsageResponse", usage_fields};

constexpr field events_fields[] = {
    {.name = "items",
     .type = array,
     .required = true,
     .meaning = "newest first: id, event_type, source, quantity, billing_period, tokens_in, "
                "tokens_out, storage_bytes, compute_ms, session_id, api_key_id, agentese_path, "
                "model, endpoint, method, status_code, created_at"},
    {.name = "total",
     .type = integer,
     .required = true,
     .nullable = true,
     .meaning = "before paging; null behind a cursor"},
    {.name = "next_cursor", .required = true, .nullable = true, .meaning = "null: the last page"},
};
constexpr schema events_shape{"UsageEventListResponse", events_fields};

template <class T>
json::value or_null(const std::optional<T>& x) {
  return x ? json::value(*x) : json::value(nullptr);
}

template <class Id>
json::value id_or_null(const std::optional<Id>& x) {
  return x ? json::value(x->text()) : json::value(nullptr);
}

std::string_view query_text(const call& c, std::string_view name) {
  const auto* x = c.query.if_contains(name);
  return x != nullptr && x->is_string() ? std::string_view{x->get_string()} : std::string_view{};
}

template <size_t N>
bool among(const std::string_view (&all)[N], std::string_view x) {
  return std::find(std::begin(all), std::end(all), x) != std::end(all);
}

/// Whether an event of this kind is one of what the metric counts.
bool counts(std::string_view metric, const sql::usage_sum& x) {
  if (metric == "tokens")
    return x.tokens_in + x.tokens_out > 0;
  if (metric == "sessions")
    return x.type == "session_create";
  if (metric == "api_calls")
    return x.type == "api_call" && x.source == "api";
  return true;
}

json::object user_json(const sql::resolved_key& who, const sql::user_usage& x) {
  json::object endpoints;
  for (const auto& [endpoint, count] : x.endpoints)
    endpoints[endpoint] = count;
  return {{"user_id", who.user_ref},
          {"requests_today", x.operations_today},
          {"api_requests_today", x.requests_today},
          {"tokens_today", x.tokens_today},
          {"tokens_month", x.tokens_month},
          {"first_request_today", or_null(x.first_request_today)},
          {"last_request", or_null(x.last_request)},
          {"endpoints_hit", std::move(endpoints)}};
}

json::object report_json(std::string_view period, std::string_view metric,
                         const sql::usage_span& span, const sql::usage_report& x) {
  sql::usage_sum all;
  json::object events;
  uint64_t count = 0;
  for (const auto& sum : x.sums) {
    all.tokens_in += sum.tokens_in;
    all.tokens_out += sum.tokens_out;
    all.storage_bytes += sum.storage_bytes;
    all.compute_ms += sum.compute_ms;
    auto& of_type = events[sum.type];
    of_type = (of_type.is_null() ? uint64_t{0} : of_type.to_number<uint64_t>()) + sum.events;
    if (counts(metric, sum))
      count += sum.events;
  }
  const auto limit = x.tokens_limit_month;
  const auto used = x.tokens_used_month;
  json::value remaining;
  if (limit > 0)
    remaining = limit > used ? limit - used : 0;
  json::array thresholds;
  for (const auto& t : x.thresholds)
    thresholds.push_back(json::object{
        {"period", t.period}, {"percent", t.percent}, {"crossed_at", t.crossed_at}});
  return {{"period", period},
          {"billing_period", span.months.back()},
          {"from", span.from},
          {"to", span.to},
          {"tokens_in", all.tokens_in},
          {"tokens_out", all.tokens_out},
          {"total_tokens", all.tokens_in + all.tokens_out},
          {"event_count", count},
          {"storage_bytes", all.storage_bytes},
          {"compute_ms", all.compute_ms},
          {"tokens_limit", limit},
          {"tokens_remaining", std::move(remaining)},
          {"usage_percentage",
           limit == 0 ? 0.0
                      : std::min(100.0, 100.0 * static_cast<double>(used) /
                                            static_cast<double>(limit))},
          {"events", std::move(events)},
          {"thresholds", std::move(thresholds)}};
}

json::object event_json(const sql::usage_row& x) {
  const auto& e = x.event;
  return {{"id", e.id.text()},
          {"event_type", e.type},
          {"source", e.source},
          {"quantity", x.quantity},
          {"billing_period", x.period},
          {"tokens_in", e.tokens_in},
          {"tokens_out", e.tokens_out},
          {"storage_bytes", e.storage_bytes},
          {"compute_ms", e.compute_ms},
          {"session_id", id_or_null(e.session)},
          {"api_key_id", id_or_null(e.api_key)},
          {"agentese_path", or_null(e.agentese_path)},
          {"model", or_null(e.model)},
          {"endpoint", or_null(e.endpoint)},
          {"method", or_null(e.method)},
          {"status_code", or_null(e.status_code)},
          {"created_at", x.created_at}};
}

/// A uuid in the query; refuses the call when it is none.
template <class Id>
bool read_id(const call_ptr& c, std::string_view name, std::optional<Id>& out) {
  const auto text = query_text(*c, name);
  if (text.empty())
    return true;
  out = Id::parse(text);
  if (!out)
    c->refuse(400, "Invalid " + std::string{name} + " format");
  return out.has_value();
}

void events(const call_ptr& c) {
  sql::usage_filter filter;
  filter.type = query_text(*c, "type");
  if (!filter.type.empty() && !among(types, filter.type)) {
    c->refuse(400, "Invalid type. Valid: agentese_invoke, kgent_message, storage_write, "
                   "storage_read, embedding, api_call, session_create, llm_call, gpu_seconds");
    return;
  }
  filter.source = query_text(*c, "source");
  if (const auto period = query_text(*c, "period"); !period.empty()) {
    const auto span = usage_span_of(period, std::chrono::system_clock::now());
    if (!span || period == "day" || period == "week") {
      c->refuse(400, "Invalid period. Valid: current, previous, YYYY-MM");
      return;
    }
    filter.period = span->months.front();
  }
  if (!read_id(c, "session_id", filter.session) || !read_id(c, "api_key_id", filter.key) ||
      !read_id(c, "cursor", filter.after))
    return;
  filter.limit = static_cast<uint32_t>(c->query.at("limit").as_int64());
  filter.offset = static_cast<uint64_t>(c->query.at("offset").as_int64());
  c->query_database(sql::usage::page(c->tenant(), filter), [c](const sql::usage_page& page) {
    if (!page.cursor_exists) {
      c->refuse(404, "Cursor not found");
      return;
    }
    json::array items;
    for (const auto& x : page.events)
      items.push_back(event_json(x));
    json::value next;
    if (page.more)
      next = page.events.back().event.id.text();
    c->reply_json(200, json::object{{"items", std::move(items)},
                                    {"total", or_null(page.total)},
                                    {"next_cursor", std::move(next)}});
  });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/usage",
     .tag = "usage",
     .summary = "What the tenant has used, and the key's user today",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .query = usage_query,
     .answer = &usage_shape,
     .handle = answer_usage},
    {.method = "GET",
     .path = "/v1/usage/events",
     .tag = "usage",
     .summary = "The tenant's usage events, newest first",
     .needs = scope::admin,
     .refusal_text = "API key requires 'admin' scope",
     .query = events_query,
     .answer = &events_shape,
     .handle = events},
};

}  // namespace

std::optional<sql::usage_span> usage_span_of(std::string_view period,
                                             std::chrono::system_clock::time_point now) {
  using namespace std::chrono;
  const auto text = [](year_month_day x) {
    char out[16];
    std::snprintf(out, sizeof out, "%04d-%02u-%02u", static_cast<int>(x.year()),
                  static_cast<unsigned>(x.month()), static_cast<unsigned>(x.day()));
    return std::string{out};
  };
  const auto today = floor<days>(now);
  const auto of_month = [&](year_month x) {
    const auto first = text(x / 1);
    return sql::usage_span{{first.substr(0, 7)}, first, text((x + months{1}) / 1)};
  };
  const auto of_days = [&](sys_days from, sys_days to) {
    sql::usage_span out{{text(from).substr(0, 7)}, text(from), text(to)};
    if (auto last = text(to - days{1}).substr(0, 7); last != out.months.front())
      out.months.push_back(std::move(last));
    return out;
  };
  const year_month_day date{today};
  const auto month = date.year() / date.month();
  if (period == "day")
    return of_days(today, today + days{1});
  if (period == "week") {
    const auto monday = today - (weekday{today} - Monday);
    return of_days(monday, monday + days{7});
  }
  if (period == "month" || period == "current")
    return of_month(month);
  if (period == "previous")
    return of_month(month - months{1});
  const auto digit = [&](size_t i) { return period[i] >= '0' && period[i] <= '9'; };
  if (period.size() != 7 || period[4] != '-' || !digit(0) || !digit(1) || !digit(2) || !digit(3) ||
      !digit(5) || !digit(6))
    return std::nullopt;
  const auto number = [&](size_t from, size_t to) {
    int out = 0;
    for (size_t i = from; i < to; ++i)
      out = out * 10 + (period[i] - '0');
    return out;
  };
  const year_month asked{year{number(0, 4)}, std::chrono::month{static_cast<unsigned>(number(5, 7))}};
  if (!asked.ok() || number(0, 4) == 0)
    return std::nullopt;
  return of_month(asked);
}

void answer_usage(const call_ptr& c) {
  const std::string period{query_text(*c, "period")};
  const auto span = usage_span_of(period, std::chrono::system_clock::now());
  if (!span) {
    c->refuse(400, "Invalid period. Valid: day, week, month, current, previous, YYYY-MM");
    return;
  }
  const std::string metric{query_text(*c, "metric")};
  if (!metric.empty() && !among(metrics, metric)) {
    c->refuse(400, "Invalid metric. Valid: tokens, sessions, api_calls");
    return;
  }
  c->query_database(
      sql::usage::report(c->tenant(), *span),
      [c, period, metric, span = *span](const sql::usage_report& report) {
        c->query_database(sql::usage::of_user(c->tenant(), c->who->key.key),
                          [c, out = report_json(period, metric, span, report)](
                              const sql::user_usage& user) mutable {
                            out["user"] = user_json(c->who->key, user);
                            c->reply_json(200, out);
                          });
      });
}

std::span<const route> usage_routes() { return table; }

}  // namespace kgents::gateway
