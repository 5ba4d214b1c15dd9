#include "actors/contexts/time/trace_aspects.hpp"

#include <algorithm>

#include "actors/contexts/time/call_graph.hpp"
#include "actors/contexts/time/instant.hpp"
#include "actors/contexts/time/renderings.hpp"
#include "protocol/agentese/path.hpp"
#include "sql/agentese_events.hpp"
#include "sql/agentese_graph.hpp"

namespace kgents::actors {

namespace json = boost::json;
namespace errors = agentese::errors;

namespace {

/// Events that are looked through for what the database does not filter by.
constexpr size_t looked_through = 1000;
/// Calls and paths of a log that are considered, the most frequent ones: those of a log of ten
/// thousand events that is not made to be hostile.
constexpr size_t considered = 5000;
constexpr size_t most_ghosts = 50;

std::vector<call_edge> edges_of(const std::vector<sql::agentese_call>& calls) {
  std::vector<call_edge> out;
  for (const auto& x : calls)
    out.push_back({x.from, x.to, x.calls});
  return out;
}

/// The aspects of the target's node that nobody has invoked as long as the log goes back.
json::array ghosts_of(const registry& nodes, const agentese::path& target,
                      const std::vector<sql::agentese_path_count>& seen) {
  json::array out;
  auto node = std::string{target.node};
  auto found = nodes.find(node);
  if (found.node == nullptr || !found.subpath.empty()) {
    node = agentese::split_last(target.node).first;  // it was a full path
    found = nodes.find(node);
  }
  if (found.node == nullptr)
    return out;
  for (const auto& aspect : found.node->aspects()) {
    const auto path = node + "." + std::string{aspect.name()};
    const bool invoked =
        std::any_of(seen.begin(), seen.end(), [&](const auto& x) { return x.path == path; });
    if (!invoked && !aspect.spec->internal && out.size() < most_ghosts)
      out.emplace_back(
          json::object{{"path", path}, {"category", to_string(aspect.spec->category)}});
  }
  return out;
}

json::array texts(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

std::vector<drawn_span> spans_of(const std::vector<agentese_event_ptr>& events,
                                 std::string_view trace_id) {
  std::vector<drawn_span> out;
  for (const auto& x : events) {
    if (!trace_id.empty() && x->trace_id != trace_id)
      continue;
    drawn_span one;
    one.path = x->path + "." + x->aspect;
    one.to_us = x->timestamp_us;
    one.from_us = one.to_us - int64_t{x->duration_ms} * 1000;
    one.span = x->span_id;
    one.parent = x->parent_span_id;
    one.ok = x->status == "ok";
    out.push_back(std::move(one));
  }
  return out;
}

/// What there is to be invoked, by the table.
std::map<std::string, int64_t> registered_paths(const registry& nodes, std::string_view target) {
  std::map<std::string, int64_t> out;
  for (const auto* node : nodes.list())
    for (const auto& aspect : node->aspects()) {
      const auto path = std::string{node->path()} + "." + std::string{aspect.name()};
      if (!aspect.spec->internal && path.starts_with(target))
        out.emplace(path, 0);
    }
  return out;
}

std::vector<call_edge> registered_edges(const registry& nodes, std::string_view target) {
  std::vector<call_edge> out;
  for (const auto& [path, count] : registered_paths(nodes, target)) {
    const auto [node, aspect] = agentese::split_last(path);
    out.push_back({std::string{node}, std::string{aspect}, 1});
  }
  return out;
}

/// The filter of `collect`, of what the database does not know.
bool passes(const aspect_call& c, const agentese_event& x) {
  const auto archetype = c.text("archetype");
  const auto origin = c.text("origin");
  const auto status = c.text("status");
  return (archetype.empty() || x.archetype == archetype) &&
         (origin.empty() || x.origin == origin) &&
         (status.empty() || (status == "ok") == (x.status == "ok")) &&
         x.duration_ms >= static_cast<uint64_t>(c.integer("min_duration_ms"));
}

struct tally {
  int64_t count = 0;
  int64_t errors = 0;
  int64_t duration_ms = 0;
  int64_t tokens = 0;
};

json::object told(const std::map<std::string, tally>& by_path) {
  json::object out;
  for (const auto& [path, x] : by_path)
    out[path] = json::object{
        {"count", x.count},
        {"errors", x.errors},
        {"mean_duration_ms", static_cast<double>(x.duration_ms) / static_cast<double>(x.count)},
        {"tokens", x.tokens}};
  return out;
}

}  // namespace

json::object trace_of(const agentese_event& x) {
  json::object out{{"path", x.path},
                   {"aspect", x.aspect},
                   {"observer", x.archetype},
                   {"status", x.status},
                   {"duration_ms", x.duration_ms},
                   {"tokens", x.tokens},
                   {"timestamp", x.timestamp},
                   {"trace_id", x.trace_id},
                   {"span_id", x.span_id},
                   {"origin", x.origin}};
  if (!x.parent_span_id.empty())
    out["parent_span_id"] = x.parent_span_id;
  if (!x.caller.empty())
    out["caller"] = x.caller;
  return out;
}

std::optional<std::set<std::string>> paths_in(const json::value& x) {
  if (const auto* object = x.if_object()) {
    for (const auto* name : {"traces", "nodes", "results", "replay", "paths"})
      if (const auto* list = object->if_contains(name); list != nullptr && list->is_array())
        return paths_in(*list);
    return std::nullopt;
  }
  const auto* list = x.if_array();
  if (list == nullptr)
    return std::nullopt;
  std::set<std::string> out;
  for (const auto& each : *list) {
    const auto* text = each.if_string();
    const auto* object = each.if_object();
    if (object != nullptr)
      if (const auto* path = object->if_contains("path"))
        text = path->if_string();
    if (text == nullptr)
      return std::nullopt;
    std::string path{*text};
    if (object != nullptr)
      if (const auto* aspect = object->if_contains("aspect");
          aspect != nullptr && aspect->is_string())
        path += "." + std::string{aspect->get_string()};
    out.insert(std::move(path));
  }
  return out;
}

task<outcome> trace_collect(aspect_call& c) {
  sql::agentese_trace_filter filter;
  filter.substring = c.text("topic");
  filter.path = c.text("path");
  filter.limit = looked_through;
  const auto now = now_instant();
  for (const auto* name : {"start_time", "end_time"}) {
    if (!c.has(name))
      continue;
    const auto time = parse_instant(c.text(name), now);
    if (!time)
      co_return errors::invalid_argument(c.full_path(), name,
                                         std::string{name} + " must be an ISO 8601 time");
    (std::string_view{name} == "start_time" ? filter.from : filter.to) = *time;
  }
  const auto page = co_await c.read(sql::agentese_events::traces(c.tenant(), filter));
  const auto limit = static_cast<size_t>(c.integer("limit"));
  std::vector<agentese_event_ptr> fit;
  for (const auto& x : page.events)
    if (passes(c, *x))
      fit.push_back(x);
  std::map<std::string, tally> by_path;
  for (const auto& x : fit) {
    auto& sum = by_path[x->path + "." + x->aspect];
    ++sum.count;
    sum.errors += x->status == "ok" ? 0 : 1;
    sum.duration_ms += x->duration_ms;
    sum.tokens += x->tokens;
  }
  json::array traces;
  for (size_t i = fit.size() - std::min(fit.size(), limit); i < fit.size(); ++i)
    traces.emplace_back(trace_of(*fit[i]));
  json::object config;
  for (const auto& argument : c.aspect().spec->args)
    if (const auto* x = c.find(argument.name))
      config[argument.name] = *x;
  co_return json::object{{"filter", std::move(config)},
                         {"traces", std::move(traces)},
                         {"collected", fit.size()},
                         {"examined", page.events.size()},
                         {"by_path", told(by_path)}};
}

task<outcome> trace_analyze(aspect_call& c) {
  const auto target = c.text("target");
  const auto parsed = agentese::parse_path(target, agentese::needs::node);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed))
    co_return errors::path_syntax(target, *wrong);
  const auto calls = co_await c.read(sql::agentese_graph::calls(c.tenant(), considered));
  const auto seen = co_await c.read(
      sql::agentese_graph::paths(c.tenant(), now_instant() + std::chrono::hours{1}, considered));
  const auto direction = c.flag("callees") ? call_direction::callees : call_direction::callers;
  const auto depth = static_cast<int>(c.integer("depth"));
  const auto part = neighbourhood(edges_of(calls), target, depth, direction);
  json::array nodes;
  for (const auto& x : part.nodes) {
    const auto at = std::find_if(seen.begin(), seen.end(),
                                 [&](const auto& y) { return y.path == x.path; });
    nodes.emplace_back(json::object{{"path", x.path},
                                    {"distance", x.distance},
                                    {"invocations", at == seen.end() ? 0 : at->count}});
  }
  json::array edges;
  for (const auto& x : part.edges)
    edges.emplace_back(json::object{{"from", x.from}, {"to", x.to}, {"calls", x.calls}});
  json::array ghosts;
  if (c.flag("show_ghosts"))
    ghosts = ghosts_of(c.nodes(), std::get<agentese::path>(parsed), seen);
  const auto count = nodes.size();
  co_return json::object{
      {"target", target},
      {"direction", direction == call_direction::callees ? "callees" : "callers"},
      {"depth", depth},
      {"nodes", std::move(nodes)},
      {"node_count", count},
      {"edges", std::move(edges)},
      {"ghosts", std::move(ghosts)},
      {"cut", part.cut}};
}

task<outcome> trace_render(aspect_call& c) {
  const auto mode = c.text("mode");
  const auto source = c.text("source");
  const auto target = c.text("target");
  const auto width = static_cast<size_t>(c.integer("width"));
  const auto draw_spans = mode == "timeline" || mode == "flame";
  std::string drawing;
  size_t count = 0;
  if (source == "static" && draw_spans)
    co_return errors::invalid_argument(
        c.full_path(), "source",
        "what is registered has no time: " + mode + " needs source runtime");
  if (source == "static" && mode == "tree") {
    const auto paths = registered_paths(c.nodes(), target);
    count = paths.size();
    drawing = draw_tree(paths, width);
  } else if (source == "static") {
    auto edges = registered_edges(c.nodes(), target);
    count = edges.size();
    drawing = draw_graph(std::move(edges), width);
  } else if (draw_spans) {
    sql::agentese_trace_filter filter;
    filter.substring = target;
    filter.limit = static_cast<size_t>(c.integer("limit"));
    const auto page = co_await c.read(sql::agentese_events::traces(c.tenant(), filter));
    auto spans = spans_of(page.events, c.text("trace_id"));
    count = spans.size();
    drawing = mode == "flame" ? draw_flame(std::move(spans), width)
                              : draw_timeline(std::move(spans), width);
  } else if (mode == "tree") {
    const auto until = now_instant() + std::chrono::hours{1};
    const auto seen =
        co_await c.read(sql::agentese_graph::paths(c.tenant(), until, considered));
    std::map<std::string, int64_t> paths;
    for (const auto& x : seen)
      if (x.path.starts_with(target))
        paths.emplace(x.path, x.count);
    count = paths.size();
    drawing = draw_tree(paths, width);
  } else {
    const auto calls = co_await c.read(sql::agentese_graph::calls(c.tenant(), considered));
    auto edges = edges_of(calls);
    std::erase_if(edges, [&](const auto& x) {
      return !x.from.starts_with(target) && !x.to.starts_with(target);
    });
    count = edges.size();
    drawing = draw_graph(std::move(edges), width);
  }
  co_return json::object{{"visualization", drawing},
                         {"mode", mode},
                         {"source", source},
                         {"width", width},
                         {"count", count}};
}

namespace {

/// One side of a difference: paths, or what was invoked up to a time.
task<std::optional<std::set<std::string>>> side_of(aspect_call& c, std::string name) {
  const auto* given = c.find(name);
  if (given == nullptr || !given->is_string()) {
    if (given == nullptr)
      co_return std::nullopt;
    co_return paths_in(*given);
  }
  const auto time = parse_instant(c.text(name), now_instant());
  if (!time)
    co_return std::nullopt;
  const auto seen = co_await c.read(sql::agentese_graph::paths(c.tenant(), *time, considered));
  std::set<std::string> out;
  for (const auto& x : seen)
    out.insert(x.path);
  co_return std::optional{std::move(out)};
}

}  // namespace

task<outcome> trace_diff(aspect_call& c) {
  constexpr std::string_view wanted = " must be a list of paths, a trace, or an ISO 8601 time";
  const auto before = co_await side_of(c, "before");
  if (!before)
    co_return errors::invalid_argument(c.full_path(), "before", "before" + std::string{wanted});
  const auto after = co_await side_of(c, "after");
  if (!after)
    co_return errors::invalid_argument(c.full_path(), "after", "after" + std::string{wanted});
  const auto x = difference(*before, *after);
  co_return json::object{{"added", texts(x.added)},
                         {"removed", texts(x.removed)},
                         {"unchanged", texts(x.unchanged)},
                         {"before_count", before->size()},
                         {"after_count", after->size()}};
}

}  // namespace kgents::actors
