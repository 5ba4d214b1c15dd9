// Sessions: made, listed, read, changed, removed, and their messages (http-api.md section 7).

#include <algorithm>

#include "actors/persona/modes.hpp"
#include "gateway/route.hpp"
#include "gateway/shapes.hpp"
#include "protocol/stream_event.hpp"
#include "sql/messages.hpp"
#include "sql/sessions.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr std::string_view modes[] = {"reflect", "advise", "challenge", "explore"};
constexpr std::string_view statuses[] = {"active", "archived", "closed"};
constexpr std::string_view agent_types[] = {"kgent", "agentese", "custom"};

constexpr field create_fields[] = {
    {.name = "title", .nullable = true, .default_json = "null", .max_bytes = 1000},
    {.name = "agent_type", .default_json = "\"kgent\"", .one_of = agent_types},
    {.name = "mode",
     .nullable = true,
     .default_json = "\"reflect\"",
     .meaning = "The session's first mode; an unknown one is ignored.",
     .one_of = modes},
};
constexpr schema create_body{"CreateSessionRequest", create_fields};

constexpr field update_fields[] = {
    {.name = "title", .nullable = true, .max_bytes = 1000},
    {.name = "status", .nullable = true, .one_of = statuses},
};
constexpr schema update_body{"UpdateSessionRequest", update_fields};

constexpr field list_query[] = {
    {.name = "limit",
     .type = value_type::integer,
     .default_json = "20",
     .meaning = "How many at most; 1 to 100.",
     .least = 1,
     .most = 100,
     .clamp = true},
    {.name = "offset",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "How many to skip.",
     .least = 0},
};
constexpr field messages_query[] = {
    {.name = "limit",
     .type = value_type::integer,
     .default_json = "50",
     .meaning = "How many at most; 1 to 200.",
     .least = 1,
     .most = 200,
     .clamp = true},
    {.name = "offset",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "How many to skip.",
     .least = 0},
};

json::object session_json(const sql::session_row& x) {
  json::object out{{"id", x.id.text()}, {"tenant_id", x.tenant.text()}};
  if (x.title)
    out["title"] = *x.title;
  else
    out["title"] = nullptr;
  out["agent_type"] = x.agent_type;
  out["status"] = x.status;
  out["message_count"] = x.message_count;
  out["tokens_used"] = x.tokens_used;
  out["created_at"] = x.created_at;
  return out;
}

/// As session_json, from the actor's view, without a tree in between: the hottest read of the API.
std::string session_text(const session_view& x) {
  std::string out;
  out.reserve(384);
  out += R"({"id":")";
  x.id.value.append_to(out);
  out += R"(","tenant_id":")";
  x.tenant.value.append_to(out);
  out += R"(","title":)";
  if (x.has_title)
    append_json_string(out, x.title);
  else
    out += "null";
  out += R"(,"agent_type":)";
  append_json_string(out, x.agent_type);
  out += R"(,"status":)";
  append_json_string(out, x.status);
  out += R"(,"message_count":)" + std::to_string(x.message_count);
  out += R"(,"tokens_used":)" + std::to_string(x.tokens_used);
  out += R"(,"created_at":)";
  append_json_string(out, x.created_at);
  out += '}';
  return out;
}

void create(const call_ptr& c) {
  sql::new_session fresh;
  fresh.id = session_id{uuid::time_ordered()};
  if (const auto& title = c->body.at("title"); title.is_string())
    fresh.title = std::string{title.get_string()};
  fresh.agent_type = c->text_of("agent_type");
  if (std::find(std::begin(agent_types), std::end(agent_types), fresh.agent_type) ==
      std::end(agent_types)) {
    c->refuse(400, "Invalid agent_type. Valid: kgent, agentese, custom");
    return;
  }
  if (const auto mode = persona::parse_mode(c->text_of("mode")))
    fresh.mode = persona::name(*mode);
  fresh.user = c->who->key.user;
  fresh.api_key = c->who->key.key;
  fresh.usage = usage_id{uuid::time_ordered()};
  c->query_database(sql::sessions::create(c->tenant(), fresh),
                    [c](const sql::session_row& row) { c->reply_json(200, session_json(row)); });
}

void list(const call_ptr& c) {
  c->query_database(
      sql::sessions::list(c->tenant(), static_cast<uint32_t>(c->query.at("limit").as_int64()),
                          static_cast<uint64_t>(c->query.at("offset").as_int64())),
      [c](const sql::session_page& page) {
        json::array all;
        for (const auto& row : page.sessions)
          all.push_back(session_json(row));
        c->reply_json(200, json::object{{"sessions", std::move(all)}, {"total", page.total}});
      });
}

void get(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "session"))
    c->ask<session_view>(session_entity(c->tenant(), session_id{*id}), get_session{},
                         [c](const session_view& x) { c->reply(200, session_text(x)); });
}

void update(const call_ptr& c) {
  const auto id = id_segment(c, 0, "session");
  if (!id)
    return;
  update_session change;
  if (const auto* title = c->body.if_contains("title")) {
    change.set_title = true;
    change.has_title = title->is_string();
    change.title = c->text_of("title");
  }
  change.status = c->text_of("status");
  if (!change.status.empty() &&
      std::find(std::begin(statuses), std::end(statuses), change.status) == std::end(statuses)) {
    c->refuse(400, "Invalid status. Valid: active, archived, closed");
    return;
  }
  c->ask<session_view>(session_entity(c->tenant(), session_id{*id}), std::move(change),
                       [c](const session_view& x) { c->reply(200, session_text(x)); });
}

void remove(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "session"))
    c->ask<session_view>(session_entity(c->tenant(), session_id{*id}), remove_session{},
                         [c](const session_view&) { c->reply(204, "", ""); });
}

void list_messages(const call_ptr& c) {
  const auto id = id_segment(c, 0, "session");
  if (!id)
    return;
  c->query_database(
      sql::messages::list(c->tenant(), session_id{*id},
                          static_cast<uint32_t>(c->query.at("limit").as_int64()),
                          static_cast<uint64_t>(c->query.at("offset").as_int64())),
      [c, id = *id](const sql::message_page& page) {
        if (!page.session_exists) {
          c->refuse(404, "Session not found");
          return;
        }
        json::array all;
        for (const auto& m : page.messages)
          all.push_back(message_json(m.id, m.session, m.role, m.content,
                                     static_cast<int64_t>(m.tokens_used), m.created_at));
        c->reply_json(200, json::object{{"messages", std::move(all)},
                                        {"total", page.total},
                                        {"session_id", id.text()}});
      });
}

const route table[] = {
    {.method = "POST",
     .path = "/v1/kgent/sessions",
     .tag = "kgent",
     .summary = "Open a session",
     .needs = scope::write,
     .refusal_text = "API key requires 'write' scope to create sessions",
     .body = &create_body,
     .once = true,
     .answer = &session_shape,
     .handle = create},
    {.method = "GET",
     .path = "/v1/kgent/sessions",
     .tag = "kgent",
     .summary = "The tenant's sessions, newest first",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .query = list_query,
     .answer = &session_list_shape,
     .handle = list},
    {.method = "GET",
     .path = "/v1/kgent/sessions/{id}",
     .tag = "kgent",
     .summary = "One session",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .answer = &session_shape,
     .handle = get},
    {.method = "PATCH",
     .path = "/v1/kgent/sessions/{id}",
     .tag = "kgent",
     .summary = "Change a session's title or status",
     .needs = scope::write,
     .refusal_text = "API key requires 'write' scope to change sessions",
     .body = &update_body,
     .answer = &session_shape,
     .handle = update},
    {.method = "DELETE",
     .path = "/v1/kgent/sessions/{id}",
     .tag = "kgent",
     .summary = "Close a session and hide it; a running answer is canceled",
     .needs = scope::write,
     .refusal_text = "API key requires 'write' scope to delete sessions",
     .success = 204,
     .handle = remove},
    {.method = "GET",
     .path = "/v1/kgent/sessions/{id}/messages",
     .tag = "kgent",
     .summary = "A session's messages, oldest first",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .query = messages_query,
     .answer = &message_list_shape,
     .handle = list_messages},
};

}  // namespace

std::span<const route> session_routes() { return table; }

}  // namespace kgents::gateway
