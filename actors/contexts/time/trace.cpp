// time.trace: what happened (agentese.md section 8.5), from the tenant's event log: one mark for
// every invocation, as long as the log goes back.

#include <algorithm>

#include "actors/contexts/time/instant.hpp"
#include "actors/contexts/time/nodes.hpp"
#include "actors/contexts/time/trace_aspects.hpp"
#include "sql/agentese_events.hpp"

namespace kgents::actors {

namespace json = boost::json;
namespace errors = agentese::errors;

namespace {

/// Marks in one answer.
constexpr int64_t most_replayed = 1000;

json::array traces_of(const std::vector<agentese_event_ptr>& events) {
  json::array out;
  for (const auto& x : events)
    out.emplace_back(trace_of(*x));
  return out;
}

task<outcome> witness(aspect_call& c) {
  sql::agentese_trace_filter filter;
  filter.substring = c.text("topic");
  filter.limit = static_cast<size_t>(c.integer("limit"));
  const auto page = co_await c.read(sql::agentese_events::traces(c.tenant(), filter));
  json::value topic;
  if (c.has("topic"))
    topic = c.text("topic");
  co_return json::object{{"topic", std::move(topic)},
                         {"traces", traces_of(page.events)},
                         {"total", page.total},
                         {"source", "local"}};
}

task<outcome> query(aspect_call& c) {
  sql::agentese_trace_filter filter;
  filter.substring = c.text("query");
  filter.limit = static_cast<size_t>(c.integer("limit"));
  const auto now = now_instant();
  if (c.has("start_time")) {
    filter.from = parse_instant(c.text("start_time"), now);
    if (!filter.from)
      co_return errors::invalid_argument(c.full_path(), "start_time",
                                         "start_time must be an ISO 8601 time");
  }
  if (c.has("end_time")) {
    filter.to = parse_instant(c.text("end_time"), now);
    if (!filter.to)
      co_return errors::invalid_argument(c.full_path(), "end_time",
                                         "end_time must be an ISO 8601 time");
  }
  const auto page = co_await c.read(sql::agentese_events::traces(c.tenant(), filter));
  co_return json::object{{"query", filter.substring},
                         {"results", traces_of(page.events)},
                         {"count", page.events.size()},
                         {"total", page.total}};
}

/// From one position to another, as a list is cut: negative ones count from the end.
task<outcome> replay(aspect_call& c) {
  const auto log = co_await c.read(sql::agentese_events::trace_range(c.tenant(), 0, 0, 0));
  const auto total = log.total;
  const auto position = [&](std::string_view name, int64_t otherwise) {
    if (!c.has(name))
      return otherwise;
    const auto x = c.integer(name);
    return std::clamp<int64_t>(x < 0 ? total + x : x, 0, total);
  };
  const auto start = position("start", 0);
  const auto end = std::max(position("end", total), start);
  const auto page = co_await c.read(
      sql::agentese_events::trace_range(c.tenant(), start, end, most_replayed));
  const auto last = start + static_cast<int64_t>(page.events.size());
  co_return json::object{{"replay", traces_of(page.events)},
                         {"start", start},
                         {"end", std::min(end, last)},
                         {"total", total}};
}

constexpr argument limited(std::string_view otherwise) {
  return {.name = "limit",
          .type = argument_type::integer,
          .default_json = otherwise,
          .meaning = "newest marks, at most",
          .least = 1,
          .most = 1000};
}

constexpr argument start_time{.name = "start_time", .meaning = "ISO 8601; not before it"};
constexpr argument end_time{.name = "end_time", .meaning = "ISO 8601; not after it"};

constexpr argument witness_args[] = {
    {.name = "topic", .meaning = "part of the path, in any case"}, limited("10")};
constexpr argument query_args[] = {
    {.name = "query", .default_json = "\"\"", .meaning = "part of the path, in any case"},
    start_time, end_time, limited("100")};
constexpr argument replay_args[] = {
    {.name = "start",
     .type = argument_type::integer,
     .meaning = "position of the first; from the end when it is negative"},
    {.name = "end", .type = argument_type::integer, .meaning = "position behind the last"}};
constexpr argument analyze_args[] = {
    {.name = "target", .required = true, .meaning = "a path or a node", .max_bytes = 512},
    {.name = "depth",
     .type = argument_type::integer,
     .default_json = "5",
     .meaning = "calls away, at most",
     .least = 0,
     .most = 50},
    {.name = "callees",
     .type = argument_type::boolean,
     .default_json = "false",
     .meaning = "whom it calls, not who calls it"},
    {.name = "show_ghosts",
     .type = argument_type::boolean,
     .default_json = "false",
     .meaning = "aspects of the target that nobody has invoked"}};
constexpr std::string_view outcomes[] = {"ok", "error"};
constexpr argument collect_args[] = {
    {.name = "topic", .meaning = "part of the path, in any case"},
    {.name = "path", .meaning = "a node", .max_bytes = 512},
    {.name = "status", .meaning = "only those", .one_of = outcomes},
    {.name = "archetype", .meaning = "of the observer", .max_bytes = 200},
    {.name = "origin", .meaning = "gateway, v1, api, schedule, nested", .max_bytes = 64},
    {.name = "min_duration_ms",
     .type = argument_type::integer,
     .default_json = "0",
     .meaning = "those that took as long",
     .least = 0,
     .most = 1e9},
    start_time,
    end_time,
    limited("100")};
constexpr std::string_view modes[] = {"tree", "graph", "timeline", "flame"};
constexpr std::string_view sources[] = {"static", "runtime"};
constexpr argument render_args[] = {
    {.name = "mode", .default_json = "\"tree\"", .meaning = "how it is drawn", .one_of = modes},
    {.name = "source",
     .default_json = "\"static\"",
     .meaning = "what is registered, or what was invoked",
     .one_of = sources},
    {.name = "width",
     .type = argument_type::integer,
     .default_json = "80",
     .meaning = "columns",
     .least = 20,
     .most = 400},
    {.name = "target", .meaning = "what paths begin with", .max_bytes = 512},
    {.name = "trace_id", .meaning = "only that trace, as timeline or flame", .max_bytes = 64},
    limited("100")};
constexpr argument diff_args[] = {
    {.name = "before",
     .type = argument_type::any,
     .required = true,
     .meaning = "paths, a trace, or a time",
     .max_bytes = 256 * 1024},
    {.name = "after",
     .type = argument_type::any,
     .required = true,
     .meaning = "paths, a trace, or a time",
     .max_bytes = 256 * 1024}};

constexpr aspect_spec aspects[] = {
    {.name = "witness",
     .run = witness,
     .help = "The newest invocations of the tenant, newest last.",
     .args = witness_args,
     .returns = "{topic: string | null, traces: [object], total: integer, source: 'local'}",
     .effects = "reads:trace",
     .example = R"({"topic": "entropy"})"},
    {.name = "query",
     .category = aspect_category::perception,
     .run = query,
     .help = "Invocations by path and time.",
     .args = query_args,
     .returns = "{query: string, results: [object], count: integer, total: integer}",
     .effects = "reads:trace",
     .example = R"({"query": "house", "start_time": "2026-01-05T09:00:00Z"})"},
    {.name = "replay",
     .run = replay,
     .help = "Invocations by their position, oldest first.",
     .args = replay_args,
     .returns = "{replay: [object], start: integer, end: integer, total: integer}",
     .effects = "reads:trace"},
    {.name = "analyze",
     .run = trace_analyze,
     .help = "Who invokes what, as a graph around a target.",
     .args = analyze_args,
     .returns = "{target: string, direction: string, depth: integer,"
                " nodes: [{path: string, distance: integer, invocations: integer}],"
                " node_count: integer, edges: [{from: string, to: string, calls: integer}],"
                " ghosts: [{path: string, category: string}], cut: boolean}"
                " | {error: string}",
     .effects = "reads:trace",
     .example = R"({"target": "void.entropy.sip"})"},
    {.name = "collect",
     .run = trace_collect,
     .help = "Invocations that pass a filter, and what they add up to by path.",
     .args = collect_args,
     .returns = "{filter: object, traces: [object], collected: integer, examined: integer,"
                " by_path: object}",
     .effects = "reads:trace"},
    {.name = "render",
     .run = trace_render,
     .help = "Draws what is registered or what was invoked.",
     .args = render_args,
     .returns = "{visualization: string, mode: string, source: string, width: integer,"
                " count: integer}",
     .effects = "reads:trace",
     .example = R"({"mode": "flame", "source": "runtime"})"},
    {.name = "diff",
     .run = trace_diff,
     .help = "Which paths came and went between two traces or times.",
     .args = diff_args,
     .returns = "{added: [string], removed: [string], unchanged: [string], before_count: integer,"
                " after_count: integer} | {error: string}",
     .effects = "reads:trace",
     .example = R"({"before": "2026-01-01T00:00:00Z", "after": "now"})"},
};

}  // namespace

void register_trace(registry& to) {
  static constexpr node_spec node{
      .path = "time.trace",
      .description = "What happened: the marks of all invocations of the tenant.",
      .aspects = aspects,
      .common = "*"};
  to.add(node);
}

}  // namespace kgents::actors
