// time.past: the states that nodes had (agentese.md section 8.5). One is kept with each change.
// Of self.state and self.memory, the checkpoints.


#include "actors/contexts/call.hpp"
#include "actors/contexts/time/instant.hpp"
#include "actors/contexts/time/nodes.hpp"
#include "actors/contexts/time/state_changes.hpp"
#include "actors/own_json.hpp"
#include "protocol/agentese/path.hpp"
#include "sql/agentese_nodes.hpp"
#include "sql/agentese_self.hpp"

namespace kgents::actors {

namespace json = boost::json;
namespace errors = agentese::errors;

namespace {

std::optional<agentese::error> wrong_target(const std::string& target) {
  const auto parsed = agentese::parse_path(target, agentese::needs::node);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed))
    return errors::path_syntax(target, *wrong);
  return std::nullopt;
}

agentese::error no_time(const aspect_call& c, std::string_view name) {
  return errors::invalid_argument(c.full_path(), name,
                                  std::string{name} + " must be an ISO 8601 time");
}

/// The latest checkpoint of self.state or self.memory at a time; these are made when they are asked
/// for, not with each change.
task<std::optional<sql::agentese_snapshot>> checkpoint_at(aspect_call& c, std::string target,
                                                          instant time) {
  const std::string subject{agentese::split_last(target).second};
  const auto taken = co_await c.read(sql::agentese_self::checkpoints(c.tenant(), subject));
  std::optional<sql::agentese_snapshot> out;
  for (const auto& x : taken)
    if (const auto at = parse_instant(x.taken_at, time); at && *at <= time)
      out = sql::agentese_snapshot{target, static_cast<int64_t>(x.number), x.taken_at, {}};
  if (!out)
    co_return std::nullopt;
  const auto number = static_cast<uint64_t>(out->version);
  const auto whole = co_await c.read(sql::agentese_self::checkpoint(c.tenant(), subject, number));
  if (!whole)  // dropped meanwhile for newer ones
    co_return std::nullopt;
  out->state = whole->content;
  co_return out;
}

task<std::optional<sql::agentese_snapshot>> state_at(aspect_call& c, std::string target,
                                                     instant time) {
  if (target == "self.state" || target == "self.memory") {
    auto taken = co_await checkpoint_at(c, target, time);
    co_return taken;
  }
  auto kept = co_await c.read(sql::agentese_nodes::snapshot_at(c.tenant(), target, time));
  co_return kept;
}

task<outcome> project(aspect_call& c) {
  const auto target = c.text("target");
  if (auto wrong = wrong_target(target))
    co_return std::move(*wrong);
  const auto time = parse_instant(c.text("timestamp"), now_instant());
  if (!time)
    co_return no_time(c, "timestamp");
  const auto was = co_await state_at(c, target, *time);
  json::object out{{"target", target}, {"timestamp", c.text("timestamp")}, {"state", nullptr}};
  if (was) {
    out["state"] = parse_own(was->state);
    out["at"] = was->at;
    out["version"] = was->version;
  } else {
    out["note"] = "no state of " + target + " is known from that time or before";
  }
  co_return out;
}

task<outcome> compare(aspect_call& c) {
  const auto target = c.text("target");
  if (auto wrong = wrong_target(target))
    co_return std::move(*wrong);
  const auto now = now_instant();
  const auto first = parse_instant(c.text("t1"), now);
  if (!first)
    co_return no_time(c, "t1");
  const auto second = parse_instant(c.text("t2"), now);
  if (!second)
    co_return no_time(c, "t2");
  const auto was = co_await state_at(c, target, *first);
  const auto is = co_await state_at(c, target, *second);
  json::value before;
  if (was)
    before = parse_own(was->state);
  json::value after;
  if (is)
    after = parse_own(is->state);
  auto changes = changes_between(before, after);
  co_return json::object{{"target", target},
                         {"t1", to_text(*first)},
                         {"t2", to_text(*second)},
                         {"state1", std::move(before)},
                         {"state2", std::move(after)},
                         {"changes", std::move(changes)}};
}

constexpr argument project_args[] = {
    {.name = "target", .required = true, .meaning = "a node", .max_bytes = 512},
    {.name = "timestamp", .required = true, .meaning = "ISO 8601", .max_bytes = 64}};
constexpr argument compare_args[] = {
    {.name = "target", .required = true, .meaning = "a node", .max_bytes = 512},
    {.name = "t1", .required = true, .meaning = "ISO 8601", .max_bytes = 64},
    {.name = "t2", .default_json = "\"now\"", .meaning = "ISO 8601", .max_bytes = 64}};

constexpr std::string_view compared =
    "{target: string, t1: string, t2: string, state1: any, state2: any,"
    " changes: {added: object, removed: object, modified: {{old: any, new: any}}}}"
    " | {error: string}";
constexpr std::string_view compare_example =
    R"({"target": "world.house", "t1": "2026-01-05T09:00:00Z"})";

constexpr aspect_spec aspects[] = {
    {.name = "project",
     .run = project,
     .help = "The state that a node had at a time: the latest at or before it.",
     .args = project_args,
     .returns = "{target: string, timestamp: string, state: any} | {error: string}",
     .effects = "reads:snapshots",
     .example = R"({"target": "world.house", "timestamp": "2026-01-05T09:00:00Z"})"},
    {.name = "compare",
     .run = compare,
     .help = "What changed in a node between two times.",
     .args = compare_args,
     .returns = compared,
     .effects = "reads:snapshots",
     .example = compare_example},
    {.name = "diff",
     .run = compare,
     .help = "The same as compare.",
     .args = compare_args,
     .returns = compared,
     .effects = "reads:snapshots",
     .example = compare_example},
};

}  // namespace

void register_past(registry& to) {
  static constexpr node_spec node{
      .path = "time.past",
      .description = "What was: states that nodes had, and what changed between them.",
      .aspects = aspects,
      .common = "*"};
  to.add(node);
}

}  // namespace kgents::actors
