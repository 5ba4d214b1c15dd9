// self.kgent: chat sessions, as the routes under /v1/kgent have them.

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "actors/persona/budget.hpp"
#include "actors/persona/modes.hpp"
#include "sql/messages.hpp"
#include "sql/sessions.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;

namespace {

using enum aspect_category;
using enum argument_type;

json::object shown(const sql::session_row& x) {
  return {{"id", x.id.text()},
          {"tenant_id", x.tenant.text()},
          {"title", x.title ? json::value(*x.title) : json::value{}},
          {"agent_type", x.agent_type},
          {"status", x.status},
          {"message_count", x.message_count},
          {"tokens_used", x.tokens_used},
          {"created_at", x.created_at}};
}

agentese::error no_such_session(const aspect_call& c) {
  return self_limits::not_found(c, "SESSION_NOT_FOUND", "Session not found",
                                "see self.kgent.list for the sessions there are");
}

std::optional<api_key_id> key_of(const aspect_call& c) {
  return c.by().key == api_key_id{} ? std::nullopt : std::optional{c.by().key};
}

task<outcome> create(aspect_call& c) {
  sql::new_session x;
  x.id = session_id{uuid::random()};
  if (c.has("title"))
    x.title = c.text("title");
  x.agent_type = c.text("agent_type");
  // An unknown mode is ignored, as over HTTP.
  x.mode = persona::name(persona::parse_mode(c.text("mode")).value_or(persona::default_mode));
  x.api_key = key_of(c);
  // Whoever has no user is counted by the key.
  if (c.by().user != c.by().key.text())
    x.user = user_id::parse(c.by().user);
  x.usage = usage_id{uuid::time_ordered()};
  auto query = sql::sessions::create(c.tenant(), x);
  json::object change{{"session", x.id.text()}};
  const auto made = co_await c.write(std::move(query), std::move(change));
  co_return shown(made);
}

task<outcome> list(aspect_call& c) {
  auto query = sql::sessions::list(c.tenant(), static_cast<uint32_t>(c.integer("limit")),
                                   static_cast<uint64_t>(c.integer("offset")));
  const auto page = co_await c.read(std::move(query));
  json::array sessions;
  for (const auto& x : page.sessions)
    sessions.emplace_back(shown(x));
  co_return json::object{{"sessions", std::move(sessions)}, {"total", page.total}};
}

/// A session's refusal is of HTTP; what it comes to here.
agentese::error refused_by_session(const aspect_call& c, const refusal& x) {
  agentese::error out;
  using enum agentese::category;
  out.category = x.status == 404   ? not_found
                 : x.status == 409 ? conflict
                 : x.status == 429 ? quota_exceeded
                 : x.status == 503 ? unavailable
                 : x.status == 504 ? timeout
                 : x.status < 500  ? invalid_input
                                   : internal;
  out.code = x.status == 404   ? "SESSION_NOT_FOUND"
             : x.status == 409 ? "SESSION_CONFLICT"
             : x.code == "quota_exceeded" ? "TOKENS_EXHAUSTED"
             : x.status == 429 ? "SESSION_BUSY"
             : x.status == 503 ? "UNAVAILABLE"
             : x.status == 504 ? "TIMEOUT"
             : x.status < 500  ? "INVALID_ARGUMENT"
                               : "INTERNAL_ERROR";
  out.message = x.detail;
  if (x.retry_after_seconds > 0)
    out.retry_after = x.retry_after_seconds;
  out.suggested_action = out.retry_after ? "try again after a moment" : "see self.kgent.list";
  out.path = c.full_path();
  return out;
}

/// The turn goes on when this has answered: its stream is where the tokens are.
task<outcome> message(aspect_call& c) {
  const auto to = session_id::parse(c.text("session_id"));
  if (!to)
    co_return no_such_session(c);
  send_message x;
  x.turn = turn_id{uuid::random()};
  x.text = c.text("message");
  if (c.has("mode")) {
    const auto mode = persona::parse_mode(c.text("mode"));
    if (!mode)
      co_return agentese::errors::invalid_argument(c.full_path(), "mode",
                                                   "Invalid mode '" + c.text("mode") + "'");
    x.mode = persona::name(*mode);
  }
  x.budget = persona::name(persona::session_budget(c.by().tier));
  x.key = c.by().key;
  x.tier = c.by().tier;
  const auto sent = co_await c.send_message_to(*to, std::move(x));
  if (!sent.ok())
    co_return refused_by_session(c, sent.wrong);
  co_return json::object{{"turn_id", sent.value.turn.text()},
                         {"message_id", sent.value.message.text()},
                         {"session_id", to->text()},
                         {"status", "running"},
                         {"stream", "/v1/kgent/sessions/" + to->text() + "/stream"}};
}

task<outcome> history(aspect_call& c) {
  const auto of = session_id::parse(c.text("session_id"));
  if (!of)
    co_return no_such_session(c);
  auto query = sql::messages::list(c.tenant(), *of, static_cast<uint32_t>(c.integer("limit")),
                                   static_cast<uint64_t>(c.integer("offset")));
  const auto page = co_await c.read(std::move(query));
  if (!page.session_exists)
    co_return no_such_session(c);
  json::array messages;
  for (const auto& x : page.messages)
    messages.emplace_back(json::object{{"id", x.id.text()},
                                       {"session_id", x.session.text()},
                                       {"role", x.role},
                                       {"content", x.content},
                                       {"tokens_used", x.tokens_used},
                                       {"created_at", x.created_at}});
  co_return json::object{
      {"messages", std::move(messages)}, {"total", page.total}, {"session_id", of->text()}};
}

constexpr std::string_view agent_types[] = {"kgent", "agentese", "custom"};
constexpr argument create_args[] = {
    {.name = "title", .max_bytes = 1'000},
    {.name = "agent_type", .default_json = "\"kgent\"", .one_of = agent_types},
    {.name = "mode", .default_json = "\"reflect\"", .max_bytes = 64}};
constexpr argument list_args[] = {
    {.name = "limit", .type = integer, .default_json = "20", .least = 1, .most = 100},
    {.name = "offset", .type = integer, .default_json = "0", .least = 0, .most = 1e15}};
constexpr argument message_args[] = {{.name = "session_id", .required = true, .max_bytes = 64},
                                     {.name = "message", .required = true, .max_bytes = 64 * 1024},
                                     {.name = "mode", .max_bytes = 64}};
constexpr argument history_args[] = {
    {.name = "session_id", .required = true, .max_bytes = 64},
    {.name = "limit", .type = integer, .default_json = "50", .least = 1, .most = 200},
    {.name = "offset", .type = integer, .default_json = "0", .least = 0, .most = 1e15}};

constexpr std::string_view session_shape =
    "{id: string, tenant_id: string, title: string | null, agent_type: string, status: string,"
    " message_count: integer, tokens_used: integer, created_at: string}";

constexpr aspect_spec aspects[] = {
    {.name = "create",
     .category = mutation,
     .run = create,
     .help = "Opens a session.",
     .args = create_args,
     .returns = session_shape,
     .effects = "writes:session",
     .example = R"({"title":"Boats"})"},
    {.name = "list",
     .run = list,
     .help = "The sessions, newest first.",
     .args = list_args,
     .returns = "{sessions: [object], total: integer}",
     .effects = "reads:session"},
    {.name = "message",
     .category = mutation,
     .run = message,
     .help = "Says something in a session; the answer comes on its stream.",
     .args = message_args,
     .returns = "{turn_id: string, message_id: string, session_id: string, status: string,"
                " stream: string}",
     .effects = "writes:session, calls:llm, charges:tokens 500",
     .example = R"({"session_id":"00000000-0000-0000-0000-000000000000","message":"hello"})"},
    {.name = "history",
     .run = history,
     .help = "What was said in a session, oldest first.",
     .args = history_args,
     .returns = "{messages: [object], total: integer, session_id: string}",
     .effects = "reads:session",
     .example = R"({"session_id":"00000000-0000-0000-0000-000000000000"})"},
};

}  // namespace

void register_kgent(registry& to) {
  static constexpr node_spec spec{.path = "self.kgent",
                                  .description = "Chat sessions of the tenant.",
                                  .aspects = aspects,
                                  .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
