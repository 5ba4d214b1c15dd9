// What tenants, users and keys look like in answers.

#include <algorithm>
#include <boost/json/parse.hpp>

#include "gateway/administration.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using enum value_type;

constexpr field user_fields[] = {
    {.name = "id", .required = true, .meaning = "uuid"},
    {.name = "tenant_id", .required = true, .meaning = "uuid"},
    {.name = "email", .required = true},
    {.name = "name", .required = true, .nullable = true},
    {.name = "role", .required = true, .meaning = "owner, admin, member or readonly"},
    {.name = "is_active", .type = boolean, .required = true},
    {.name = "email_verified", .type = boolean, .required = true},
    {.name = "last_login_at", .required = true, .nullable = true},
    {.name = "created_at", .required = true, .meaning = "ISO 8601, UTC, with offset"},
    {.name = "updated_at", .required = true},
};

constexpr field user_list_fields[] = {
    {.name = "items", .type = array, .required = true, .meaning = "UserResponse, oldest first"},
    {.name = "total", .type = integer, .required = true, .meaning = "before paging"},
};

#define KGENTS_KEY_FIELDS                                                                         \
  {.name = "id", .required = true, .meaning = "uuid"},                                            \
      {.name = "key_prefix", .required = true, .meaning = "the key's first 8 characters"},        \
      {.name = "name", .required = true},                                                         \
      {.name = "scopes", .type = array, .required = true,                                         \
       .meaning = "of read, write, admin, billing; a person's key never does more than the "      \
                  "person's role"},                                                               \
      {.name = "user_id", .required = true, .nullable = true, .meaning = "whose key it is"},      \
      {.name = "rate_limit_rpm", .type = integer, .required = true, .nullable = true,             \
       .meaning = "null: the tenant's"},                                                          \
      {.name = "created_at", .required = true},                                                   \
      {.name = "expires_at", .required = true, .nullable = true},                                 \
      {.name = "last_used_at", .required = true, .nullable = true},                               \
      {.name = "use_count", .type = integer, .required = true},                                   \
      {.name = "is_active", .type = boolean, .required = true, .meaning = "false: revoked"}, {    \
    .name = "revoked_at", .required = true, .nullable = true                                      \
  }

constexpr field key_fields[] = {KGENTS_KEY_FIELDS};
constexpr field new_key_fields[] = {
    KGENTS_KEY_FIELDS,
    {.name = "key", .required = true, .meaning = "shown this once: kg_, 5 characters, a secret"},
};
constexpr field key_list_fields[] = {
    {.name = "items", .type = array, .required = true, .meaning = "ApiKeyResponse, newest first"},
    {.name = "total", .type = integer, .required = true, .meaning = "before paging"},
};

constexpr field tenant_fields[] = {
    {.name = "id", .required = true, .meaning = "uuid"},
    {.name = "name", .required = true},
    {.name = "slug", .required = true},
    {.name = "subscription_tier",
     .required = true,
     .meaning = "free, starter, pro, team, enterprise or custom"},
    {.name = "subscription_status",
     .required = true,
     .meaning = "active, trialing, past_due, paused or canceled"},
    {.name = "stripe_customer_id", .required = true, .nullable = true},
    {.name = "tokens_used_month", .type = integer, .required = true},
    {.name = "tokens_limit_month", .type = integer, .required = true, .meaning = "0: unlimited"},
    {.name = "tokens_remaining",
     .type = integer,
     .required = true,
     .nullable = true,
     .meaning = "of the current month; null: unlimited"},
    {.name = "usage_percentage", .type = number, .required = true, .meaning = "0 to 100"},
    {.name = "rate_limit_rpm", .type = integer, .required = true},
    {.name = "rate_limit_custom",
     .type = boolean,
     .required = true,
     .meaning = "rate_limit_rpm was negotiated and replaces the tier's"},
    {.name = "rate_limit_rph",
     .type = integer,
     .required = true,
     .nullable = true,
     .meaning = "null: the tier's, as the two below"},
    {.name = "rate_burst", .type = integer, .required = true, .nullable = true},
    {.name = "requests_per_day", .type = integer, .required = true, .nullable = true},
    {.name = "data_plane", .required = true, .meaning = "pool, or silo: a database of its own"},
    {.name = "settings", .type = object, .required = true},
    {.name = "members", .type = integer, .required = true},
    {.name = "created_at", .required = true},
    {.name = "updated_at", .required = true},
};

constexpr field tenant_list_fields[] = {
    {.name = "items", .type = array, .required = true, .meaning = "TenantResponse, newest first"},
    {.name = "total", .type = integer, .required = true, .meaning = "before paging"},
};

constexpr field new_tenant_fields[] = {
    {.name = "tenant", .type = object, .required = true, .meaning = "TenantResponse"},
    {.name = "owner", .type = object, .required = true, .meaning = "id, email, role"},
    {.name = "api_key",
     .type = object,
     .required = true,
     .meaning = "id, key_prefix, name, scopes and, this once, key"},
};

json::value number_or_null(const std::optional<uint32_t>& x) {
  return x ? json::value(*x) : json::value(nullptr);
}

}  // namespace

const schema user_shape{"UserResponse", user_fields};
const schema user_list_shape{"UserListResponse", user_list_fields};
const schema api_key_shape{"ApiKeyResponse", key_fields};
const schema api_key_list_shape{"ApiKeyListResponse", key_list_fields};
const schema new_api_key_shape{"NewApiKeyResponse", new_key_fields};
const schema tenant_shape{"TenantResponse", tenant_fields};
const schema tenant_list_shape{"TenantListResponse", tenant_list_fields};
const schema new_tenant_shape{"NewTenantResponse", new_tenant_fields};

json::object user_json(const sql::user_row& x) {
  return {{"id", x.id.text()},
          {"tenant_id", x.tenant.text()},
          {"email", x.email},
          {"name", text_or_null(x.name)},
          {"role", x.role},
          {"is_active", x.active},
          {"email_verified", x.email_verified},
          {"last_login_at", text_or_null(x.last_login_at)},
          {"created_at", x.created_at},
          {"updated_at", x.updated_at}};
}

json::object api_key_json(const sql::api_key_row& x) {
  json::array scopes;
  for (const auto& [name, has] :
       {std::pair{"read", x.scopes.read}, std::pair{"write", x.scopes.write},
        std::pair{"admin", x.scopes.admin}, std::pair{"billing", x.scopes.billing}})
    if (has)
      scopes.emplace_back(name);
  return {{"id", x.id.text()},
          {"key_prefix", x.prefix},
          {"name", x.name},
          {"scopes", std::move(scopes)},
          {"user_id", x.user ? json::value(x.user->text()) : json::value(nullptr)},
          {"rate_limit_rpm", number_or_null(x.requests_per_minute)},
          {"created_at", x.created_at},
          {"expires_at", text_or_null(x.expires_at)},
          {"last_used_at", text_or_null(x.last_used_at)},
          {"use_count", x.use_count},
          {"is_active", x.active},
          {"revoked_at", text_or_null(x.revoked_at)}};
}

json::object tenant_json(const sql::tenant_record& x) {
  const auto limit = x.tokens_limit_month;
  const auto used = x.tokens_used_month;
  json::value remaining;
  if (limit > 0)
    remaining = limit > used ? limit - used : 0;
  return {{"id", x.id.text()},
          {"name", x.name},
          {"slug", x.slug},
          {"subscription_tier", x.tier},
          {"subscription_status", x.status},
          {"stripe_customer_id", text_or_null(x.stripe_customer)},
          {"tokens_used_month", used},
          {"tokens_limit_month", limit},
          {"tokens_remaining", std::move(remaining)},
          {"usage_percentage", limit == 0 ? 0.0
                                          : std::min(100.0, 100.0 * static_cast<double>(used) /
                                                                static_cast<double>(limit))},
          {"rate_limit_rpm", x.requests_per_minute},
          {"rate_limit_custom", x.negotiated_rate},
          {"rate_limit_rph", number_or_null(x.requests_per_hour)},
          {"rate_burst", number_or_null(x.burst)},
          {"requests_per_day", number_or_null(x.operations_per_day)},
          {"data_plane", x.data_plane},
          {"settings", json::parse(x.settings)},
          {"members", x.members},
          {"created_at", x.created_at},
          {"updated_at", x.updated_at}};
}

}  // namespace kgents::gateway
