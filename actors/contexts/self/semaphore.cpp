// self.semaphore: decisions that a person is asked for. world.purgatory shows and settles them
// through the internal aspects.

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "actors/contexts/time/instant.hpp"
#include "actors/own_json.hpp"
#include "sql/agentese_tokens.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;
namespace tokens = sql::agentese_tokens;

namespace {

using enum aspect_category;
using enum argument_type;

constexpr std::string_view reasons[] = {"approval_needed",  "context_required",  "sensitive_action",
                                        "ambiguous_choice", "resource_decision", "error_recovery"};

/// For what is looked at before it is written: one event tells of each change, and of none beside.
constexpr std::string_view lock_key = "semaphore";

json::value or_null(const std::optional<std::string>& x) {
  return x ? json::value(*x) : json::value{};
}

/// Members without a value are left out, as in the token's own form.
json::object shown(const sql::decision& x) {
  json::object out{{"id", x.id.text()},
                   {"status", x.status()},
                   {"reason", x.reason},
                   {"prompt", x.prompt},
                   {"options", parse_own(x.options)},
                   {"severity", x.severity},
                   {"asked_by", x.asked_by},
                   {"created_at", x.created_at}};
  const auto add = [&](std::string_view name, const std::optional<std::string>& value) {
    if (value)
      out[name] = *value;
  };
  add("deadline", x.deadline);
  add("escalation", x.escalation);
  add("resolved_at", x.resolved_at);
  add("cancelled_at", x.cancelled_at);
  add("voided_at", x.voided_at);
  if (x.human_input)
    out["human_input"] = parse_own(*x.human_input);
  return out;
}

json::object summary(const sql::decision& x) {
  return {{"token_id", x.id.text()},    {"reason", x.reason},
          {"prompt", x.prompt},         {"severity", x.severity},
          {"created_at", x.created_at}, {"deadline", or_null(x.deadline)}};
}

// Results, as the nodes have them for what an argument names and cannot be had.
json::object no_such_token(std::string_view id) {
  return {{"error", "token not found: " + std::string{id.substr(0, 64)}}};
}
json::object not_pending(const sql::decision& x) {
  return {{"error",
           "token " + x.id.text() + " is not pending (status: " + std::string{x.status()} + ")"}};
}

task<std::optional<sql::decision>> find(aspect_call& c, std::string text) {
  const auto id = decision_id::parse(text);
  if (!id)
    co_return std::nullopt;
  auto query = tokens::get(c.tenant(), *id);
  auto found = co_await c.read(std::move(query));
  co_return std::move(found);
}

task<outcome> pending(aspect_call& c) {
  auto query = tokens::list(c.tenant(), true, self_limits::listed_decisions);
  const auto all = co_await c.read(std::move(query));
  json::array waiting;
  for (const auto& x : all)
    waiting.emplace_back(summary(x));
  const auto count = waiting.size();
  co_return json::object{{"pending", std::move(waiting)}, {"count", count}};
}

task<outcome> yield(aspect_call& c) {
  sql::decision x;
  const auto reason = c.text("reason");
  const bool known = std::find(std::begin(reasons), std::end(reasons), reason) != std::end(reasons);
  x.reason = known ? reason : reasons[0];
  x.prompt = c.text("prompt");
  const auto* options = c.find("options");
  x.options = options != nullptr ? json::serialize(*options) : "[]";
  x.severity = c.text("severity");
  if (c.has("deadline")) {
    const auto deadline = parse_instant(c.text("deadline"), now_instant());
    if (!deadline)
      co_return agentese::errors::invalid_argument(
          c.full_path(), "deadline",
          "deadline must be a time like 2026-01-05T09:00:00Z or 2026-01-05T09:00:00+01:00");
    x.deadline = to_text(*deadline);
  }
  if (c.has("escalation"))
    x.escalation = c.text("escalation");
  x.asked_by = c.who().id;
  x.id = decision_id{uuid::time_ordered()};
  const auto held = co_await c.lock(std::string{lock_key});
  auto count = tokens::pending_count(c.tenant());
  const auto waiting = co_await c.read(std::move(count));
  if (waiting >= self_limits::pending_decisions)
    co_return self_limits::reached(c, "pending tokens", self_limits::pending_decisions,
                                   "resolve or cancel some in world.purgatory first");
  auto query = tokens::create(c.tenant(), x);
  json::object change{{"token_id", x.id.text()}, {"status", "pending"}};
  const auto made = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"token_id", made.id.text()},
                         {"status", made.status()},
                         {"reason", made.reason},
                         {"prompt", made.prompt}};
}

task<outcome> status(aspect_call& c) {
  const auto found = co_await find(c, c.text("token_id"));
  if (!found)
    co_return no_such_token(c.text("token_id"));
  auto out = shown(*found);
  out["token_id"] = found->id.text();
  co_return out;
}

task<outcome> list(aspect_call& c) {
  auto query = tokens::list(c.tenant(), c.flag("pending_only"), self_limits::listed_decisions);
  const auto all = co_await c.read(std::move(query));
  json::array out;
  for (const auto& x : all)
    out.emplace_back(shown(x));
  const auto count = out.size();
  co_return json::object{{"tokens", std::move(out)}, {"count", count}};
}

task<outcome> inspect(aspect_call& c) {
  const auto found = co_await find(c, c.text("token_id"));
  if (!found)
    co_return no_such_token(c.text("token_id"));
  co_return shown(*found);
}

/// Ends a pending token, if it still is one.
task<outcome> settle(aspect_call& c, std::string_view how, std::string human_input) {
  const auto held = co_await c.lock(std::string{lock_key});
  const auto before = co_await find(c, c.text("token_id"));
  if (!before)
    co_return no_such_token(c.text("token_id"));
  if (before->status() != "pending")
    co_return not_pending(*before);
  auto query = how == "resolved" ? tokens::resolve(c.tenant(), before->id, human_input)
                                 : tokens::cancel(c.tenant(), before->id);
  json::object change{{"token_id", before->id.text()}, {"status", how}};
  const auto done = co_await c.write(std::move(query), std::move(change), "self.semaphore");
  const auto after = co_await find(c, before->id.text());
  if (!after)
    co_return no_such_token(before->id.text());
  if (!done)  // somebody else was quicker
    co_return not_pending(*after);
  auto out = shown(*after);
  out["token_id"] = after->id.text();
  co_return out;
}

task<outcome> resolve(aspect_call& c) {
  return settle(c, "resolved", json::serialize(*c.find("human_input")));
}

task<outcome> cancel(aspect_call& c) { return settle(c, "cancelled", {}); }

task<outcome> void_expired(aspect_call& c) {
  auto query = tokens::void_expired(c.tenant(), self_limits::listed_decisions);
  const auto gone = co_await c.write(std::move(query));
  json::array ids;
  for (const auto& x : gone)
    ids.emplace_back(x.text());
  const auto count = ids.size();
  co_return json::object{{"voided", count}, {"token_ids", std::move(ids)}};
}

constexpr std::string_view severities[] = {"info", "warning", "critical"};
constexpr argument yield_args[] = {
    {.name = "reason",
     .default_json = "\"approval_needed\"",
     .meaning = "approval_needed, context_required, sensitive_action, ambiguous_choice, "
                "resource_decision or error_recovery",
     .max_bytes = 100},
    {.name = "prompt", .required = true, .meaning = "what is to be decided", .max_bytes = 4'000},
    {.name = "options", .type = array, .meaning = "to choose from", .max_bytes = 16 * 1024},
    {.name = "severity", .default_json = "\"info\"", .one_of = severities, .max_bytes = 16},
    {.name = "deadline", .meaning = "ISO 8601; it is void after that", .max_bytes = 64},
    {.name = "escalation", .meaning = "who decides when nobody does", .max_bytes = 500}};
constexpr argument token_args[] = {{.name = "token_id", .required = true, .max_bytes = 64}};
constexpr argument list_args[] = {
    {.name = "pending_only", .type = boolean, .default_json = "false"}};
constexpr argument resolve_args[] = {
    {.name = "token_id", .required = true, .max_bytes = 64},
    {.name = "human_input", .type = any, .required = true, .max_bytes = 64 * 1024}};

constexpr std::string_view token_shape =
    "{id: string, status: string, reason: string, prompt: string, options: array,"
    " severity: string, created_at: string} | {error: string}";
constexpr std::string_view settled_shape =
    "{id: string, token_id: string, status: string} | {error: string}";

constexpr aspect_spec aspects[] = {
    {.name = "pending",
     .run = pending,
     .help = "What waits for a person.",
     .returns = "{pending: [{token_id: string, reason: string, prompt: string, severity: string}],"
                " count: integer}",
     .effects = "reads:semaphore"},
    {.name = "yield",
     .category = mutation,
     .run = yield,
     .help = "Asks a person to decide.",
     .args = yield_args,
     .returns = "{token_id: string, status: string, reason: string, prompt: string}",
     .effects = "writes:semaphore",
     .example = R"({"prompt":"Publish the report?","options":["yes","no"]})"},
    {.name = "status",
     .run = status,
     .help = "How far a decision is.",
     .args = token_args,
     .returns = settled_shape,
     .effects = "reads:semaphore",
     .example = R"({"token_id":"unknown"})"},
    {.name = "list",
     .run = list,
     .help = "All tokens, oldest first.",
     .args = list_args,
     .returns = "{tokens: [object], count: integer}",
     .effects = "reads:semaphore",
     .internal = true},
    {.name = "inspect",
     .run = inspect,
     .help = "One token.",
     .args = token_args,
     .returns = token_shape,
     .effects = "reads:semaphore",
     .example = R"({"token_id":"unknown"})",
     .internal = true},
    {.name = "resolve",
     .category = mutation,
     .run = resolve,
     .help = "Decides.",
     .args = resolve_args,
     .returns = settled_shape,
     .effects = "writes:semaphore",
     .example = R"({"token_id":"unknown","human_input":"yes"})",
     .internal = true},
    {.name = "cancel",
     .category = mutation,
     .run = cancel,
     .help = "Takes a question back.",
     .args = token_args,
     .returns = settled_shape,
     .effects = "writes:semaphore",
     .example = R"({"token_id":"unknown"})",
     .internal = true},
    {.name = "void_expired",
     .category = mutation,
     .run = void_expired,
     .help = "Voids what was not decided in time.",
     .returns = "{voided: integer, token_ids: [string]}",
     .effects = "writes:semaphore",
     .internal = true},
};

}  // namespace

void register_semaphore(registry& to) {
  static constexpr node_spec spec{.path = "self.semaphore",
                                  .description = "Decisions that a person is asked for.",
                                  .aspects = aspects,
                                  .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
