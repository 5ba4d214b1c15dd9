// What was invoked, request by request, from the tenant's event log (http-api.md section 10).

#include <boost/json/array.hpp>

#include "actors/contexts/time/instant.hpp"
#include "gateway/administration.hpp"
#include "gateway/http/websocket_frames.hpp"
#include "sql/traces.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using enum value_type;

constexpr auto default_window = std::chrono::hours{24};
/// The system's clock counts nanoseconds, which end in 2262.
constexpr auto before = std::chrono::sys_days{std::chrono::year{2200} / 1 / 1};
constexpr std::string_view statuses[] = {"success", "error"};
constexpr std::string_view refusal = "API key requires 'read' scope";

constexpr field list_query[] = {
    {.name = "start",
     .nullable = true,
     .meaning = "ISO 8601, UTC without a zone; 24 hours before the end when it is left out"},
    {.name = "end", .nullable = true, .meaning = "the same; now when it is left out"},
    {.name = "path",
     .nullable = true,
     .meaning = "self.memory.recall, or what it is below: self.memory",
     .max_bytes = 1000},
    {.name = "status", .nullable = true, .one_of = statuses},
    {.name = "limit",
     .type = integer,
     .default_json = "100",
     .meaning = "How many at most; 1 to 1000.",
     .least = 1,
     .most = 1000,
     .clamp = true},
};

constexpr field list_fields[] = {
    {.name = "traces",
     .type = array,
     .required = true,
     .meaning = "newest first: trace_id, path (stages of a composition with >> between them), "
                "status (success, error), duration_ms, started_at, spans (how many)"},
};
constexpr schema list_shape{"TraceListResponse", list_fields};

constexpr field trace_fields[] = {
    {.name = "trace_id", .required = true, .meaning = "32 hex digits"},
    {.name = "path", .required = true},
    {.name = "status", .required = true, .meaning = "success or error"},
    {.name = "duration_ms", .type = integer, .required = true},
    {.name = "started_at", .required = true},
    {.name = "spans",
     .type = array,
     .required = true,
     .meaning = "as they began, the first thousand: span_id, parent_span_id, path, status (ok or "
                "an error's code), duration_ms, tokens, started_at, observer_archetype, origin"},
};
constexpr schema trace_shape{"TraceResponse", trace_fields};

std::string_view status_of(bool error) { return error ? "error" : "success"; }

json::object span_json(const sql::span_row& x) {
  return {{"span_id", x.span},
          {"parent_span_id", text_or_null(x.parent)},
          {"path", x.path + '.' + x.aspect},
          {"status", x.status},
          {"duration_ms", x.duration_ms},
          {"tokens", x.tokens},
          {"started_at", x.started_at},
          {"observer_archetype", x.archetype},
          {"origin", x.origin}};
}

/// A time of the query, or what stands for it; refuses the call when it is none.
std::optional<std::chrono::system_clock::time_point> time_of(
    const call_ptr& c, std::string_view name, std::chrono::system_clock::time_point otherwise) {
  const auto text = query_text(*c, name);
  if (text.empty())
    return otherwise;
  const auto at = actors::parse_instant(text, actors::now_instant());
  if (!at || *at >= before) {
    c->refuse(400, "Invalid " + std::string{name} + ": ISO 8601 is expected, 2026-01-31T12:00:00Z");
    return std::nullopt;
  }
  return *at;
}

void list(const call_ptr& c) {
  sql::trace_search search;
  const auto to = time_of(c, "end", std::chrono::system_clock::now());
  if (!to)
    return;
  const auto from = time_of(c, "start", *to - default_window);
  if (!from)
    return;
  search.from = *from;
  search.to = *to;
  search.path = query_text(*c, "path");
  if (const auto status = query_text(*c, "status"); status == "success" || status == "error") {
    search.error = status == "error";
  } else if (!status.empty()) {
    c->refuse(400, "Invalid status. Valid: success, error");
    return;
  }
  search.limit = limit_of(*c);
  c->query_database(sql::traces::list(c->tenant(), search),
                    [c](const std::vector<sql::trace_row>& found) {
                      json::array all;
                      for (const auto& x : found)
                        all.push_back(json::object{{"trace_id", x.trace},
                                                   {"path", x.path},
                                                   {"status", status_of(x.error)},
                                                   {"duration_ms", x.duration_ms},
                                                   {"started_at", x.started_at},
                                                   {"spans", x.spans}});
                      c->reply_json(200, json::object{{"traces", std::move(all)}});
                    });
}

/// As the list shows it, from its spans.
json::object trace_json(std::string_view id, const std::vector<sql::span_row>& all) {
  std::string path;
  bool error = false;
  uint64_t duration = 0;
  json::array spans;
  for (const auto& x : all) {
    spans.push_back(span_json(x));
    if (x.caller)
      continue;
    path += (path.empty() ? "" : " >> ") + x.path + '.' + x.aspect;
    error = error || x.error;
    duration += x.duration_ms;
  }
  return {{"trace_id", id},
          {"path", path.empty() ? all.front().path + '.' + all.front().aspect : path},
          {"status", status_of(error)},
          {"duration_ms", duration},
          {"started_at", all.front().started_at},
          {"spans", std::move(spans)}};
}

void show(const call_ptr& c) {
  const auto id = c->segments[0];
  if (id.find('\0') != std::string::npos || id.size() > 128 || !http::valid_utf8(id)) {
    c->refuse(404, "Trace not found");
    return;
  }
  c->query_database(sql::traces::spans(c->tenant(), id),
                    [c, id](const std::vector<sql::span_row>& all) {
                      if (all.empty())
                        c->refuse(404, "Trace not found");
                      else
                        c->reply_json(200, trace_json(id, all));
                    });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/traces",
     .tag = "usage",
     .summary = "Invocations and compositions, newest first, as far back as the log goes",
     .needs = scope::read,
     .refusal_text = refusal,
     .query = list_query,
     .answer = &list_shape,
     .handle = list},
    {.method = "GET",
     .path = "/v1/traces/{trace}",
     .tag = "usage",
     .summary = "One of them with its spans",
     .needs = scope::read,
     .refusal_text = refusal,
     .answer = &trace_shape,
     .handle = show},
};

}  // namespace

std::span<const route> trace_routes() { return table; }

}  // namespace kgents::gateway
