// The members of the caller's tenant and their roles (http-api.md 2.6 and section 10).

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "gateway/administration.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr std::string_view roles[] = {"owner", "admin", "member", "readonly"};
constexpr std::string_view refusal = "API key requires 'admin' scope";

constexpr field create_fields[] = {
    {.name = "email",
     .required = true,
     .meaning = "unique among the tenant's members, in any case of letters",
     .max_bytes = 400},
    {.name = "name", .required = true, .meaning = "1 to 200 characters", .max_bytes = 800},
    {.name = "role",
     .default_json = "\"member\"",
     .meaning = "at most your own; an owner is made by handing the ownership over",
     .one_of = roles},
};
constexpr schema create_body{"CreateUserRequest", create_fields};

constexpr field update_fields[] = {
    {.name = "name", .meaning = "1 to 200 characters", .max_bytes = 800},
    {.name = "role", .meaning = "takes effect at once, for all keys of the person", .one_of = roles},
    {.name = "is_active",
     .type = value_type::boolean,
     .meaning = "false: the person's keys open nothing until it is true again"},
};
constexpr schema update_body{"UpdateUserRequest", update_fields};

bool good_role(const call_ptr& c, std::string_view x) {
  if (std::find(std::begin(roles), std::end(roles), x) != std::end(roles))
    return true;
  c->refuse(400, "Invalid role. Valid: owner, admin, member, readonly");
  return false;
}

void list(const call_ptr& c) {
  c->query_database(sql::users::list(c->tenant(), limit_of(*c), offset_of(*c)),
                    [c](const sql::user_page& page) {
                      json::array items;
                      for (const auto& x : page.users)
                        items.push_back(user_json(x));
                      c->reply_json(200, json::object{{"items", std::move(items)},
                                                      {"total", page.total}});
                    });
}

void show(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "user"))
    c->query_database(sql::users::get(c->tenant(), user_id{*id}),
                      [c](const std::optional<sql::user_row>& row) {
                        if (row)
                          c->reply_json(200, user_json(*row));
                        else
                          c->refuse(404, "User not found");
                      });
}

void create(const call_ptr& c) {
  const auto email = c->text_of("email");
  const auto name = c->text_of("name");
  const auto role = c->text_of("role");
  if (!good_email(c, "email", email) || !good_name(c, "name", name) || !good_role(c, role))
    return;
  const user_id id{uuid::time_ordered()};
  c->query_database(
      sql::users::create(who_acts(*c), id, email, name, role),
      [c, id, taken = "User with email '" + std::string{email} + "' already exists"](
          const sql::acted<sql::user_row>& x) {
        if (was_done(c, x.result, "user.create", id.value, {.object = "User", .duplicate = taken}))
          c->reply_json(201, user_json(*x.row));
      });
}

void update(const call_ptr& c) {
  const auto id = id_segment(c, 0, "user");
  if (!id)
    return;
  if (c->body.contains("name") && !good_name(c, "name", c->text_of("name")))
    return;
  if (c->body.contains("role") && !good_role(c, c->text_of("role")))
    return;
  c->query_database(sql::users::update(who_acts(*c), user_id{*id}, json::serialize(c->body)),
                    [c, id](const sql::acted<sql::user_row>& x) {
                      if (was_done(c, x.result, "user.update", *id, {.object = "User"}))
                        when_heard(c, [c, row = *x.row] { c->reply_json(200, user_json(row)); });
                    });
}

void remove(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "user"))
    c->query_database(sql::users::remove(who_acts(*c), user_id{*id}),
                      [c, id](const sql::act_result& x) {
                        if (was_done(c, x, "user.delete", *id, {.object = "User"}))
                          when_heard(c, [c] { c->reply(204, ""); });
                      });
}

void transfer(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "user"))
    c->query_database(
        sql::users::transfer_ownership(who_acts(*c), user_id{*id}),
        [c, id](const sql::acted<sql::user_row>& x) {
          if (was_done(c, x.result, "user.transfer_ownership", *id, {.object = "User"}))
            when_heard(c, [c, row = *x.row] { c->reply_json(200, user_json(row)); });
        });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/users",
     .tag = "administration",
     .summary = "The members of the tenant, oldest first",
     .needs = scope::admin,
     .refusal_text = refusal,
     .query = page_query,
     .answer = &user_list_shape,
     .handle = list},
    {.method = "POST",
     .path = "/v1/users",
     .tag = "administration",
     .summary = "Invites a user",
     .needs = scope::admin,
     .refusal_text = refusal,
     .body = &create_body,
     .once = true,
     .answer = &user_shape,
     .success = 201,
     .handle = create},
    {.method = "GET",
     .path = "/v1/users/{id}",
     .tag = "administration",
     .summary = "One member",
     .needs = scope::admin,
     .refusal_text = refusal,
     .answer = &user_shape,
     .handle = show},
    {.method = "PATCH",
     .path = "/v1/users/{id}",
     .tag = "administration",
     .summary = "Changes a member's name or role, or switches the member off",
     .needs = scope::admin,
     .refusal_text = refusal,
     .body = &update_body,
     .answer = &user_shape,
     .handle = update},
    {.method = "DELETE",
     .path = "/v1/users/{id}",
     .tag = "administration",
     .summary = "Removes a member and revokes the member's keys",
     .needs = scope::admin,
     .refusal_text = refusal,
     .success = 204,
     .handle = remove},
    {.method = "POST",
     .path = "/v1/users/{id}/transfer-ownership",
     .tag = "administration",
     .summary = "Makes this member the owner in the caller's place, who becomes an admin",
     .needs = scope::admin,
     .refusal_text = refusal,
     .answer = &user_shape,
     .handle = transfer},
};

}  // namespace

std::span<const route> user_routes() { return table; }

}  // namespace kgents::gateway
