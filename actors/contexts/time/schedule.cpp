// time.schedule: what is to be invoked later, once (agentese.md section 8.5).
//
// The node that this context lives on asks it for `run_due` when something of it is due
// (scheduler.hpp). Each action is claimed in a transaction of its own before it runs, so that
// whatever dies in between, it does not run twice.

#include <boost/json/serialize.hpp>
#include <charconv>
#include <set>

#include "actors/contexts/time/instant.hpp"
#include "actors/contexts/time/nodes.hpp"
#include "actors/logos/arguments.hpp"
#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"
#include "protocol/agentese/path.hpp"
#include "sql/agentese_schedule.hpp"
#include "sql/tenants.hpp"

namespace kgents::actors {

namespace json = boost::json;
namespace schedule = sql::agentese_schedule;
namespace errors = agentese::errors;

namespace {

/// A year: what is further away is a mistake, and would sit in the table all that time.
constexpr auto latest = std::chrono::hours{24 * 365};
constexpr std::string_view id_prefix = "action_";
constexpr std::string_view lock_key = "schedule";

using running_actions = std::set<int64_t>;

/// What this actor knows of its table, of which it is the only writer.
struct schedule_state {
  std::shared_ptr<running_actions> running = std::make_shared<running_actions>();
  /// So many may be deferred before the pending ones are counted again.
  int64_t room = 0;
};

/// Taken out when the coroutine that runs the action ends, however that happens: what the table
/// then still says to run is interrupted.
class running_mark {
public:
  running_mark(std::shared_ptr<running_actions> all, int64_t id) : all_{std::move(all)}, id_{id} {
    all_->insert(id);
  }
  running_mark(const running_mark&) = delete;
  running_mark& operator=(const running_mark&) = delete;
  ~running_mark() { all_->erase(id_); }

private:
  std::shared_ptr<running_actions> all_;
  int64_t id_;
};

std::string name_of(int64_t id) { return std::string{id_prefix} + std::to_string(id); }

std::optional<int64_t> id_of(std::string_view name) {
  if (!name.starts_with(id_prefix))
    return std::nullopt;
  name.remove_prefix(id_prefix.size());
  int64_t id = 0;
  const auto* end = name.data() + name.size();
  const auto read = std::from_chars(name.data(), end, id);
  if (read.ec != std::errc{} || read.ptr != end || id < 1 || std::to_string(id) != name)
    return std::nullopt;
  return id;
}

/// Whether that path may be invoked with these kwargs, as far as that can be said before its time.
/// Its node may come to be until then.
std::optional<outcome> refused_now(const registry& nodes, const agentese::path& path,
                                   const std::string& kwargs, const agentese::observer& who,
                                   const agentese::caller& by) {
  invocation asked;
  asked.who = who;
  asked.by = by;
  asked.strict = false;
  auto led = check_path(nodes, asked, path);
  if (led.wrong)
    return std::move(*led.wrong);
  agentese::invoke_aspect ask;
  ask.node = std::string{path.node};
  ask.aspect = std::string{path.aspect};
  ask.kwargs = kwargs;
  auto checked = check_arguments(*led.aspect, ask);
  if (auto* wrong = std::get_if<outcome>(&checked))
    return std::move(*wrong);
  return std::nullopt;
}

/// The path with its first segment expanded if that is an alias.
task<std::string> expanded(aspect_call& c, std::string path) {
  const auto first = std::string{agentese::first_segment(path)};
  if (!agentese::is_identifier(first) || agentese::parse_context(first))
    co_return path;
  json::object kwargs{{"name", first}};
  const auto got = co_await c.invoke("self.aliases.expand", std::move(kwargs), true);
  const auto* value = std::get_if<json::value>(&got);
  if (value != nullptr && value->is_object())
    if (const auto* target = value->get_object().if_contains("target");
        target != nullptr && target->is_string())
      co_return std::string{target->get_string()} + path.substr(first.size());
  co_return path;
}

agentese::error full_error(const aspect_call& c) {
  agentese::error out;
  out.category = agentese::category::quota_exceeded;
  out.code = "SCHEDULE_FULL";
  out.message = std::to_string(sql::pending_actions_most) + " actions are pending already";
  out.suggested_action = "cancel some, or wait until they have run";
  out.path = c.full_path();
  return out;
}

task<outcome> defer(aspect_call& c) {
  if (!c.has("at") && !c.has("delay"))
    co_return c.missing("Either 'at' or 'delay' required");
  const auto now = now_instant();
  std::optional<instant> at;
  if (c.has("at")) {
    at = parse_instant(c.text("at"), now);
    if (!at)
      co_return errors::invalid_argument(c.full_path(), "at", "at must be an ISO 8601 time");
    if (*at > now + latest)
      co_return errors::invalid_argument(c.full_path(), "at", "at must be within a year");
  }

  sql::new_action what;
  what.path = c.text("path");
  what.kwargs = json::serialize(c.args().at("kwargs"));
  what.strict = c.asked().strict;
  what.who = c.who();
  what.by = c.by();
  // A capability token is shown with a request; what runs later has only its credential.
  what.by.proven.clear();

  const auto text = co_await expanded(c, what.path);
  const auto parsed = agentese::parse_path(text);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed))
    co_return errors::path_syntax(text, *wrong);
  auto refused =
      refused_now(c.nodes(), std::get<agentese::path>(parsed), what.kwargs, what.who, what.by);
  if (refused)
    co_return std::move(*refused);

  auto& state = c.live<schedule_state>();
  const auto guard = co_await c.lock(std::string{lock_key});
  if (state.room <= 0) {
    const auto left = co_await c.read(schedule::look(c.tenant()));
    state.room = sql::pending_actions_most - left.pending;
    if (state.room <= 0)
      co_return full_error(c);
  }
  const auto wait = std::chrono::microseconds{static_cast<int64_t>(c.number("delay") * 1e6)};
  auto query = at ? schedule::defer_until(c.tenant(), what, *at)
                  : schedule::defer_by(c.tenant(), what, wait);
  json::object change{{"deferred", what.path}};
  const auto made = co_await c.write(std::move(query), std::move(change));
  if (!made)
    co_return full_error(c);
  --state.room;
  co_return json::object{{"id", name_of(made->id)},
                         {"path", what.path},
                         {"scheduled_for", made->scheduled_for},
                         {"status", "scheduled"}};
}

task<outcome> cancel(aspect_call& c) {
  const auto name = c.text("id");
  const auto id = id_of(name);
  const auto missing = json::object{{"error", "Action " + name + " not found"}};
  if (!id)
    co_return missing;
  const auto guard = co_await c.lock(std::string{lock_key});
  const auto status = co_await c.read(schedule::status_of(c.tenant(), *id));
  if (!status)
    co_return missing;
  if (*status != sql::action_status::pending)
    co_return json::object{{"error", "Action " + name + " is not pending (status: " +
                                         std::string{to_string(*status)} + ")"}};
  json::object change{{"id", name}, {"status", "cancelled"}};
  const auto done = co_await c.write(schedule::cancel(c.tenant(), *id), std::move(change));
  if (!done)
    co_return missing;
  c.live<schedule_state>().room += 1;
  co_return json::object{{"id", name}, {"status", "cancelled"}};
}

task<outcome> list(aspect_call& c) {
  std::optional<sql::action_status> status;
  if (c.has("status"))
    status = sql::parse_action_status(c.text("status"));
  const auto limit = static_cast<size_t>(c.integer("limit"));
  auto query = schedule::list(c.tenant(), status, c.by(), limit);
  const auto page = co_await c.read(std::move(query));
  json::array actions;
  for (const auto& x : page.actions) {
    json::object one{{"id", name_of(x.id)},
                     {"path", x.path},
                     {"scheduled_for", x.scheduled_for},
                     {"status", to_string(x.status)}};
    if (!x.ended_at.empty())
      one["ended_at"] = x.ended_at;
    if (!x.error.empty())
      one["error"] = x.error;
    // What came of it is for who asked for it: a soul's answer, say.
    if (x.own && !x.result.empty())
      one["result"] = parse_own(x.result);
    if (x.own && x.truncated)
      one["result_truncated"] = true;
    actions.emplace_back(std::move(one));
  }
  const auto count = actions.size();
  co_return json::object{{"actions", std::move(actions)}, {"count", count}, {"total", page.total}};
}

/// Why what would cost tokens may not run, if it may not: nobody at the edge has looked.
task<std::string> beyond_quota(aspect_call& c, std::string path) {
  const auto text = co_await expanded(c, std::move(path));
  const auto parsed = agentese::parse_path(text);
  const auto* x = std::get_if<agentese::path>(&parsed);
  const auto found = x != nullptr ? c.nodes().find(x->node) : registry::found{};
  const auto* aspect = found.node != nullptr ? found.node->find(x->aspect) : nullptr;
  if (aspect == nullptr || !aspect->effects.charges.contains("tokens"))
    co_return std::string{};
  const auto tenant = co_await c.read(sql::tenants::get(c.tenant()));
  if (tenant && tenant->tokens_limit_month > 0 &&
      tenant->tokens_used_month >= tenant->tokens_limit_month)
    co_return std::string{"the month's tokens are used up"};
  co_return std::string{};
}

struct what_came {
  sql::action_status status = sql::action_status::failed;
  std::string result;
  std::string error;
};

what_came came_of(const outcome& x) {
  if (const auto* value = std::get_if<json::value>(&x))
    return {sql::action_status::executed, json::serialize(*value), {}};
  if (const auto* wrong = std::get_if<agentese::error>(&x))
    return {sql::action_status::failed, {}, wrong->code + ": " + wrong->message};
  return {sql::action_status::failed, {}, "refused: " + std::get<agentese::refused>(x).reason};
}

/// Fails what was interrupted, then takes the next action that is due and marks it as running.
task<std::optional<sql::claimed_action>> take_next(aspect_call& c) {
  auto& state = c.live<schedule_state>();
  const auto left = co_await c.read(schedule::look(c.tenant()));
  json::array interrupted;
  for (const auto id : left.running)
    if (!state.running->contains(id))
      interrupted.emplace_back(name_of(id));
  if (!interrupted.empty()) {
    const std::vector<int64_t> alive{state.running->begin(), state.running->end()};
    json::object change{{"ids", std::move(interrupted)}, {"status", "failed"}};
    auto query = schedule::fail_interrupted(c.tenant(), alive);
    const auto failed = co_await c.write(std::move(query), std::move(change));
    (void)failed;
  }
  if (!left.due)
    co_return std::optional<sql::claimed_action>{};
  json::object change{{"id", name_of(*left.due)}, {"status", "running"}};
  auto query = schedule::claim(c.tenant(), *left.due, c.lease());
  auto taken = co_await c.write(std::move(query), std::move(change));
  state.room += taken ? 1 : 0;
  co_return taken;
}

/// Runs at most one action, so that several may run beside each other and each has all the time an
/// aspect may take.
task<outcome> run_due(aspect_call& c) {
  auto& state = c.live<schedule_state>();
  std::optional<sql::claimed_action> next;
  std::optional<running_mark> mark;
  {
    const auto guard = co_await c.lock(std::string{lock_key});
    next = co_await take_next(c);
    if (next)  // before the lock is free: the next one looks who runs
      mark.emplace(state.running, next->id);
  }
  if (!next)
    co_return json::object{{"ran", false}};
  auto why_not = next->denied;
  if (why_not.empty()) {
    auto beyond = co_await beyond_quota(c, next->what.path);
    why_not = std::move(beyond);
  }
  what_came came{sql::action_status::failed, {}, why_not};
  if (why_not.empty()) {
    auto& what = next->what;
    auto asked = c.invoke_as(what.who, what.by, what.path, what.kwargs, "schedule", what.strict);
    const auto result = co_await asked;
    came = came_of(result);
  }
  json::object change{{"id", name_of(next->id)}, {"status", to_string(came.status)}};
  auto query = schedule::end(c.tenant(), next->id, came.status, came.result, came.error);
  const auto ended = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"ran", ended}};
}

constexpr argument defer_args[] = {
    {.name = "path", .required = true, .meaning = "what to invoke", .max_bytes = 512},
    {.name = "delay",
     .type = argument_type::number,
     .meaning = "seconds from now",
     .least = 0,
     .most = 31'536'000},
    {.name = "at", .meaning = "ISO 8601 time, before `delay`; one that has passed is due at once"},
    {.name = "kwargs",
     .type = argument_type::object,
     .default_json = "{}",
     .meaning = "its kwargs"},
};
constexpr argument cancel_args[] = {
    {.name = "id", .required = true, .meaning = "as `defer` gave it", .max_bytes = 64}};
constexpr std::string_view statuses[] = {"pending", "running", "executed", "failed", "cancelled"};
constexpr argument list_args[] = {
    {.name = "status", .meaning = "only those", .one_of = statuses},
    {.name = "limit",
     .type = argument_type::integer,
     .default_json = "100",
     .meaning = "newest actions, at most",
     .least = 1,
     .most = 1000},
};

constexpr aspect_spec aspects[] = {
    {.name = "defer",
     .category = aspect_category::generation,
     .run = defer,
     .help = "Invokes a path later, once, as whoever asks for it now.",
     .args = defer_args,
     .returns = "{id: string, path: string, scheduled_for: string, status: 'scheduled'}"
                " | {error: string}",
     .effects = "writes:schedule",
     .example = R"({"path": "void.gratitude.tithe", "delay": 60})"},
    {.name = "cancel",
     .category = aspect_category::mutation,
     .run = cancel,
     .help = "Takes back an action that is still pending.",
     .args = cancel_args,
     .returns = "{id: string, status: 'cancelled'} | {error: string}",
     .effects = "writes:schedule",
     .example = R"({"id": "action_1"})"},
    {.name = "list",
     .run = list,
     .help = "The tenant's actions, newest last, with what became of them.",
     .args = list_args,
     .returns = "{actions: [{id: string, path: string, scheduled_for: string, status: string}],"
                " count: integer, total: integer}",
     .effects = "reads:schedule"},
    {.name = "run_due",
     .category = aspect_category::mutation,
     .run = run_due,
     .help = "Runs the next action that is due.",
     .returns = "{ran: boolean}",
     .effects = "writes:schedule",
     .internal = true,
     .deadline = std::chrono::seconds{140}},
};

}  // namespace

void register_schedule(registry& to) {
  static constexpr node_spec node{
      .path = "time.schedule",
      .description = "What is to be invoked later: deferred, listed, cancelled, run once.",
      .aspects = aspects,
      .common = "*"};
  to.add(node);
}

}  // namespace kgents::actors
