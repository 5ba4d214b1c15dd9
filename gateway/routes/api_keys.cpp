// The keys of the caller's tenant (http-api.md 2.2, 2.3 and section 10).

#include <algorithm>

#include "gateway/administration.hpp"
#include "gateway/key_secret.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using enum value_type;

constexpr std::string_view refusal = "API key requires 'admin' scope";

constexpr field create_fields[] = {
    {.name = "name", .required = true, .meaning = "1 to 200 characters", .max_bytes = 800},
    {.name = "scopes",
     .type = array,
     .default_json = R"(["read","write"])",
     .meaning = "of read, write, admin, billing; none that the caller lacks"},
    {.name = "expires_in_days",
     .type = integer,
     .nullable = true,
     .meaning = "null: it does not expire",
     .least = 1,
     .most = 3650},
    {.name = "rate_limit_rpm",
     .type = integer,
     .nullable = true,
     .meaning = "requests a minute, at most the tenant's; null: the tenant's",
     .least = 1,
     .most = 2'147'483'647},
    {.name = "user_id",
     .nullable = true,
     .meaning = "whose key it becomes; null: the caller's own. uuid"},
};
constexpr schema create_body{"CreateApiKeyRequest", create_fields};

/// Which keys the caller may see: all with `admin`, otherwise the caller's own with `read`.
bool may_look(const call_ptr& c, std::optional<api_key_id>& own) {
  const auto& scopes = c->who->key.scopes;
  if (!scopes.admin && !scopes.read) {
    c->refuse(403, refusal);
    return false;
  }
  if (!scopes.admin)
    own = c->who->key.key;
  return true;
}

/// 422 for what is no text, 400 for what is no scope.
std::optional<sql::key_scopes> read_scopes(const call_ptr& c) {
  sql::key_scopes out;
  violations wrong;
  const auto& all = c->body.at("scopes").as_array();
  for (size_t i = 0; i < all.size(); ++i)
    if (!all[i].is_string())
      add_violation(wrong, "string_type", {"body", "scopes", i}, "Input should be a valid string",
                    all[i]);
  if (!wrong.empty()) {
    c->refuse_unprocessable(std::move(wrong));
    return std::nullopt;
  }
  for (const auto& x : all) {
    const std::string_view name = x.get_string();
    if (name == "read") {
      out.read = true;
    } else if (name == "write") {
      out.write = true;
    } else if (name == "admin") {
      out.admin = true;
    } else if (name == "billing") {
      out.billing = true;
    } else {
      c->refuse(400, "Unknown scope '" + std::string{name.substr(0, 80)} +
                         "'. Valid: read, write, admin, billing");
      return std::nullopt;
    }
  }
  return out;
}

std::optional<uint32_t> number_of(const call& c, std::string_view member) {
  const auto* x = c.body.if_contains(member);
  if (x == nullptr || x->is_null())
    return std::nullopt;
  return x->to_number<uint32_t>();
}

void reply_with_key(const call_ptr& c, const sql::api_key_row& row, const std::string& key) {
  auto out = api_key_json(row);
  out["key"] = key;
  c->reply_json(201, out, no_store);
}

void list(const call_ptr& c) {
  std::optional<api_key_id> own;
  if (may_look(c, own))
    c->query_database(sql::api_keys::list(c->tenant(), own, limit_of(*c), offset_of(*c)),
                      [c](const sql::api_key_page& page) {
                        json::array items;
                        for (const auto& x : page.keys)
                          items.push_back(api_key_json(x));
                        c->reply_json(200, json::object{{"items", std::move(items)},
                                                        {"total", page.total}});
                      });
}

void show(const call_ptr& c) {
  std::optional<api_key_id> own;
  if (!may_look(c, own))
    return;
  if (const auto id = id_segment(c, 0, "API key"))
    c->query_database(sql::api_keys::get(c->tenant(), own, api_key_id{*id}),
                      [c](const std::optional<sql::api_key_row>& row) {
                        if (row)
                          c->reply_json(200, api_key_json(*row));
                        else
                          c->refuse(404, "API key not found");
                      });
}

void create(const call_ptr& c) {
  sql::new_api_key fresh;
  const auto scopes = read_scopes(c);
  if (!scopes)
    return;
  fresh.scopes = *scopes;
  fresh.name = c->text_of("name");
  if (!good_name(c, "name", fresh.name))
    return;
  if (const auto user = c->text_of("user_id"); !user.empty()) {
    fresh.user = user_id::parse(user);
    if (!fresh.user) {
      c->refuse(400, "Invalid user ID format");
      return;
    }
  }
  fresh.expires_in_days = number_of(*c, "expires_in_days");
  fresh.requests_per_minute = number_of(*c, "rate_limit_rpm");
  const auto secret = make_key_secret(c->at.config.key_pepper.reveal());
  fresh.prefix = secret.prefix;
  fresh.hash = secret.hash;
  c->query_database(sql::api_keys::create(who_acts(*c), fresh),
                    [c, id = fresh.id, key = secret.key](const sql::acted<sql::api_key_row>& x) {
                      if (was_done(c, x.result, "api_key.create", id.value, {.object = "API key"}))
                        reply_with_key(c, *x.row, key);
                    });
}

void rotate(const call_ptr& c) {
  const auto segment = id_segment(c, 0, "API key");
  if (!segment)
    return;
  const api_key_id id{*segment};
  const auto secret = make_key_secret(c->at.config.key_pepper.reveal());
  sql::new_api_key fresh;
  fresh.prefix = secret.prefix;
  fresh.hash = secret.hash;
  c->query_database(sql::api_keys::rotate(who_acts(*c), id, fresh),
                    [c, id, key = secret.key](const sql::acted<sql::api_key_row>& x) {
                      if (!was_done(c, x.result, "api_key.rotate", id.value, {.object = "API key"}))
                        return;
                      when_heard(c, [c, row = *x.row, key] { reply_with_key(c, row, key); });
                    });
}

void revoke(const call_ptr& c) {
  const auto segment = id_segment(c, 0, "API key");
  if (!segment)
    return;
  const api_key_id id{*segment};
  c->query_database(sql::api_keys::revoke(who_acts(*c), id), [c, id](const sql::act_result& x) {
    if (was_done(c, x, "api_key.revoke", id.value, {.object = "API key"}))
      when_heard(c, [c] { c->reply(204, ""); });
  });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/api-keys",
     .tag = "administration",
     .summary = "Keys, newest first: the tenant's with `admin`, the caller's own with `read`",
     .query = page_query,
     .answer = &api_key_list_shape,
     .handle = list},
    {.method = "POST",
     .path = "/v1/api-keys",
     .tag = "administration",
     .summary = "Makes a key, which is shown this once",
     .needs = scope::admin,
     .refusal_text = refusal,
     .body = &create_body,
     .answer = &new_api_key_shape,
     .success = 201,
     .handle = create},
    {.method = "GET",
     .path = "/v1/api-keys/{id}",
     .tag = "administration",
     .summary = "One key: any with `admin`, the caller's own with `read`",
     .answer = &api_key_shape,
     .handle = show},
    {.method = "DELETE",
     .path = "/v1/api-keys/{id}",
     .tag = "administration",
     .summary = "Revokes a key at once; again is no error",
     .needs = scope::admin,
     .refusal_text = refusal,
     .success = 204,
     .handle = revoke},
    {.method = "POST",
     .path = "/v1/api-keys/{id}/rotate",
     .tag = "administration",
     .summary = "Puts a new key, shown this once, in the place of one that ends at once",
     .needs = scope::admin,
     .refusal_text = refusal,
     .answer = &new_api_key_shape,
     .success = 201,
     .handle = rotate},
};

}  // namespace

std::span<const route> api_key_routes() { return table; }

}  // namespace kgents::gateway
