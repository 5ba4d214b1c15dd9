// Who did what to the tenant, its members and keys, and what the soul said of actions
// (http-api.md section 10). Nothing is ever removed from it.

#include <boost/json/parse.hpp>

#include "gateway/administration.hpp"
#include "sql/audit.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using enum value_type;

constexpr std::string_view objects[] = {"tenant", "user", "api_key", "action"};

constexpr field list_query[] = {
    {.name = "limit",
     .type = integer,
     .default_json = "20",
     .meaning = "How many at most; 1 to 100.",
     .least = 1,
     .most = 100,
     .clamp = true},
    {.name = "before",
     .type = integer,
     .nullable = true,
     .meaning = "next_before of the page before.",
     .least = 1},
    {.name = "action",
     .nullable = true,
     .meaning = "api_key.revoke, say, or api_key for all of them; governance.",
     .max_bytes = 64},
    {.name = "object_type", .nullable = true, .one_of = objects},
    {.name = "object_id", .nullable = true, .meaning = "uuid"},
    {.name = "user_id", .nullable = true, .meaning = "of whoever acted; uuid"},
    {.name = "api_key_id", .nullable = true, .meaning = "which was used; uuid"},
};

constexpr field list_fields[] = {
    {.name = "items",
     .type = array,
     .required = true,
     .meaning = "newest first: id, at, actor {kind (user, key, platform, database), user_id, "
                "api_key_id, key_prefix, name}, action, object {type, id}, also (ids of what else "
                "was changed), outcome, details, request_id, address"},
    {.name = "total", .type = integer, .required = true, .meaning = "before paging"},
    {.name = "next_before",
     .type = integer,
     .required = true,
     .nullable = true,
     .meaning = "null: the last page"},
};
constexpr schema list_shape{"AuditResponse", list_fields};

template <class Id>
json::value id_or_null(const std::optional<Id>& x) {
  return x ? json::value(x->text()) : json::value(nullptr);
}

json::object entry_json(const sql::audit_row& x) {
  return {{"id", x.id},
          {"at", x.at},
          {"actor", json::object{{"kind", x.actor_kind},
                                 {"user_id", id_or_null(x.actor_user)},
                                 {"api_key_id", id_or_null(x.actor_key)},
                                 {"key_prefix", text_or_null(x.actor_prefix)},
                                 {"name", text_or_null(x.actor_name)}}},
          {"action", x.action},
          {"object", json::object{{"type", x.object_type}, {"id", text_or_null(x.object)}}},
          {"also", json::parse(x.also)},
          {"outcome", x.outcome},
          {"details", json::parse(x.details)},
          {"request_id", text_or_null(x.request)},
          {"address", text_or_null(x.address)}};
}

void list(const call_ptr& c) {
  sql::audit_filter filter;
  filter.action = query_text(*c, "action");
  filter.object_type = query_text(*c, "object_type");
  std::optional<uuid> user;
  std::optional<uuid> key;
  if (!query_id(c, "object_id", filter.object) || !query_id(c, "user_id", user) ||
      !query_id(c, "api_key_id", key))
    return;
  if (user)
    filter.actor_user = user_id{*user};
  if (key)
    filter.actor_key = api_key_id{*key};
  if (const auto* x = c->query.if_contains("before"); x != nullptr && x->is_int64())
    filter.before = x->get_int64();
  filter.limit = limit_of(*c);
  c->query_database(sql::audit::page(c->tenant(), filter), [c](const sql::audit_page& page) {
    json::array items;
    for (const auto& x : page.entries)
      items.push_back(entry_json(x));
    json::value next;
    if (page.more)
      next = page.entries.back().id;
    c->reply_json(200, json::object{{"items", std::move(items)},
                                    {"total", page.total},
                                    {"next_before", std::move(next)}});
  });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/audit",
     .tag = "administration",
     .summary = "Acts of administration and decisions of governance, newest first",
     .needs = scope::admin,
     .refusal_text = "API key requires 'admin' scope",
     .query = list_query,
     .answer = &list_shape,
     .handle = list},
};

}  // namespace

std::span<const route> audit_routes() { return table; }

}  // namespace kgents::gateway
