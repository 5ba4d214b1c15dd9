// The caller's own tenant (http-api.md section 10).

#include <boost/json/serialize.hpp>

#include "gateway/administration.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field update_fields[] = {
    {.name = "name", .meaning = "1 to 200 characters", .max_bytes = 800},
    {.name = "settings",
     .type = value_type::object,
     .meaning = "merged member by member; null removes one. At most 64 KiB in all."},
};
constexpr schema update_body{"UpdateTenantRequest", update_fields};

/// The database holds no NUL in a text.
bool has_nul(const json::value& x) {
  if (const auto* text = x.if_string())
    return text->find('\0') != json::string::npos;
  if (const auto* list = x.if_array())
    return std::any_of(list->begin(), list->end(), has_nul);
  if (const auto* members = x.if_object())
    return std::any_of(members->begin(), members->end(), [](const auto& m) {
      return m.key().find('\0') != json::string_view::npos || has_nul(m.value());
    });
  return false;
}

void show(const call_ptr& c) {
  c->query_database(sql::tenant_records::get(c->tenant()),
                    [c](const std::optional<sql::tenant_record>& row) {
                      if (row)
                        c->reply_json(200, tenant_json(*row));
                      else
                        c->refuse(404, "Tenant not found");
                    });
}

void update(const call_ptr& c) {
  std::optional<std::string> name;
  if (c->body.contains("name")) {
    name = c->text_of("name");
    if (!good_name(c, "name", *name))
      return;
  }
  std::optional<std::string> settings;
  if (const auto* x = c->body.if_contains("settings")) {
    if (has_nul(*x)) {
      c->refuse(400, "settings may not contain the character NUL");
      return;
    }
    settings = json::serialize(*x);
  }
  c->query_database(
      sql::tenant_records::update(who_acts(*c), std::move(name), std::move(settings)),
      [c](const sql::acted<sql::tenant_record>& x) {
        if (was_done(c, x.result, "tenant.update", c->tenant().value, {.object = "Tenant"}))
          c->reply_json(200, tenant_json(*x.row));
      });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/tenant",
     .tag = "administration",
     .summary = "The caller's tenant, its limits and what is left of them",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .answer = &tenant_shape,
     .handle = show},
    {.method = "PATCH",
     .path = "/v1/tenant",
     .tag = "administration",
     .summary = "Renames the tenant or changes its settings",
     .needs = scope::admin,
     .refusal_text = "API key requires 'admin' scope",
     .body = &update_body,
     .answer = &tenant_shape,
     .handle = update},
};

}  // namespace

std::span<const route> tenant_routes() { return table; }

}  // namespace kgents::gateway
