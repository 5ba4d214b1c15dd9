// All tenants: the operator's routes, which do not exist for anybody else (http-api.md section 10).

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "gateway/administration.hpp"
#include "gateway/key_secret.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using enum value_type;

constexpr std::string_view tiers[] = {"free", "starter", "pro", "team", "enterprise", "custom"};
constexpr std::string_view statuses[] = {"active", "trialing", "past_due", "paused", "canceled"};
constexpr int64_t most_integer = 2'147'483'647;

constexpr field create_fields[] = {
    {.name = "name", .required = true, .meaning = "1 to 200 characters", .max_bytes = 800},
    {.name = "slug",
     .required = true,
     .meaning = "1 to 63 of a-z, 0-9 and, in between, -; unique among living tenants",
     .max_bytes = 100},
    {.name = "tier", .default_json = "\"free\"", .one_of = tiers},
    {.name = "owner_email", .required = true, .max_bytes = 400},
};
constexpr schema create_body{"CreateTenantRequest", create_fields};

constexpr field change_fields[] = {
    {.name = "name", .meaning = "1 to 200 characters", .max_bytes = 800},
    {.name = "tier", .meaning = "brings its rate and its tokens along", .one_of = tiers},
    {.name = "status", .meaning = "paused and canceled: no key is served", .one_of = statuses},
    {.name = "rate_limit_rpm",
     .type = integer,
     .nullable = true,
     .meaning = "requests a minute that were negotiated; null: the tier's, as in all of these",
     .least = 1,
     .most = most_integer},
    {.name = "tokens_limit_month",
     .type = integer,
     .nullable = true,
     .meaning = "0: unlimited",
     .least = 0,
     .most = 1'000'000'000'000'000},
    {.name = "rate_limit_rph", .type = integer, .nullable = true, .least = 0, .most = most_integer},
    {.name = "rate_burst", .type = integer, .nullable = true, .least = 1, .most = most_integer},
    {.name = "requests_per_day",
     .type = integer,
     .nullable = true,
     .meaning = "metered operations of each key; 0: unlimited",
     .least = 0,
     .most = most_integer},
};
constexpr schema change_body{"ChangeTenantRequest", change_fields};

constexpr field list_query[] = {
    {.name = "slug", .nullable = true, .max_bytes = 100},
    {.name = "tier", .nullable = true, .one_of = tiers},
    {.name = "status", .nullable = true, .one_of = statuses},
    {.name = "limit",
     .type = integer,
     .default_json = "20",
     .meaning = "How many at most; 1 to 100.",
     .least = 1,
     .most = 100,
     .clamp = true},
    {.name = "offset", .type = integer, .default_json = "0", .least = 0},
};

template <size_t N>
bool among(const std::string_view (&all)[N], std::string_view x) {
  return std::find(std::begin(all), std::end(all), x) != std::end(all);
}

bool good_tier(const call_ptr& c, std::string_view x) {
  if (among(tiers, x))
    return true;
  c->refuse(400, "Invalid tier. Valid: free, starter, pro, team, enterprise, custom");
  return false;
}

bool good_status(const call_ptr& c, std::string_view x) {
  if (among(statuses, x))
    return true;
  c->refuse(400, "Invalid status. Valid: active, trialing, past_due, paused, canceled");
  return false;
}

/// data.md 5.1: ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$
bool good_slug(const call_ptr& c, std::string_view x) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789-";
  if (!x.empty() && x.size() <= 63 && x.find_first_not_of(letters) == std::string_view::npos &&
      x.front() != '-' && x.back() != '-')
    return true;
  c->refuse(400, "Invalid slug: 1 to 63 of a-z, 0-9 and, in between, -");
  return false;
}

void list(const call_ptr& c) {
  sql::tenant_filter filter;
  filter.slug = query_text(*c, "slug");
  filter.tier = query_text(*c, "tier");
  filter.status = query_text(*c, "status");
  filter.limit = limit_of(*c);
  filter.offset = offset_of(*c);
  if (!filter.tier.empty() && !good_tier(c, filter.tier))
    return;
  if (!filter.status.empty() && !good_status(c, filter.status))
    return;
  query_control(c, sql::tenant_records::list(filter), [c](const sql::tenant_page& page) {
    json::array items;
    for (const auto& x : page.tenants)
      items.push_back(tenant_json(x));
    c->reply_json(200, json::object{{"items", std::move(items)}, {"total", page.total}});
  });
}

void create(const call_ptr& c) {
  sql::new_tenant fresh;
  fresh.name = c->text_of("name");
  fresh.slug = c->text_of("slug");
  fresh.tier = c->text_of("tier");
  fresh.owner_email = c->text_of("owner_email");
  if (!good_name(c, "name", fresh.name) || !good_slug(c, fresh.slug) ||
      !good_tier(c, fresh.tier) || !good_email(c, "owner_email", fresh.owner_email))
    return;
  const auto secret = make_key_secret(c->at.config.key_pepper.reveal());
  fresh.key.prefix = secret.prefix;
  fresh.key.hash = secret.hash;
  query_control(
      c, sql::tenant_records::create(who_acts(*c), fresh),
      [c, fresh, key = secret.key](const sql::acted<sql::tenant_record>& x) {
        if (!was_done(c, x.result, "tenant.create", fresh.id.value,
                      {.object = "Tenant",
                       .duplicate = "Tenant with slug '" + fresh.slug + "' already exists"}))
          return;
        c->reply_json(
            201,
            json::object{
                {"tenant", tenant_json(*x.row)},
                {"owner", json::object{{"id", fresh.owner.text()},
                                       {"tenant_id", fresh.id.text()},
                                       {"email", fresh.owner_email},
                                       {"role", "owner"}}},
                {"api_key", json::object{{"id", fresh.key.id.text()},
                                         {"key_prefix", fresh.key.prefix},
                                         {"name", "owner"},
                                         {"scopes", {"read", "write", "admin", "billing"}},
                                         {"user_id", fresh.owner.text()},
                                         {"key", key}}}},
            no_store);
      });
}

void show(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "tenant"))
    query_control(c, sql::tenant_records::look(tenant_id{*id}),
                  [c](const std::optional<sql::tenant_record>& row) {
                    if (row)
                      c->reply_json(200, tenant_json(*row));
                    else
                      c->refuse(404, "Tenant not found");
                  });
}

void change(const call_ptr& c) {
  const auto id = id_segment(c, 0, "tenant");
  if (!id)
    return;
  if (c->body.contains("name") && !good_name(c, "name", c->text_of("name")))
    return;
  if (c->body.contains("tier") && !good_tier(c, c->text_of("tier")))
    return;
  if (c->body.contains("status") && !good_status(c, c->text_of("status")))
    return;
  query_control(c,
                sql::tenant_records::change(who_acts(*c), tenant_id{*id}, json::serialize(c->body)),
                [c, id](const sql::acted<sql::tenant_record>& x) {
                  if (was_done(c, x.result, "tenant.update", *id, {.object = "Tenant"}))
                    when_heard(c, [c, row = *x.row] { c->reply_json(200, tenant_json(row)); });
                });
}

void remove(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "tenant"))
    query_control(c, sql::tenant_records::remove(who_acts(*c), tenant_id{*id}),
                  [c, id](const sql::act_result& x) {
                    if (was_done(c, x, "tenant.delete", *id, {.object = "Tenant"}))
                      when_heard(c, [c] { c->reply(204, ""); });
                  });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/tenants",
     .tag = "administration",
     .summary = "Living tenants, newest first",
     .who = access::platform,
     .query = list_query,
     .answer = &tenant_list_shape,
     .handle = list},
    {.method = "POST",
     .path = "/v1/tenants",
     .tag = "administration",
     .summary = "Makes a tenant, its owner and the owner's first key, which is shown this once",
     .who = access::platform,
     .body = &create_body,
     .answer = &new_tenant_shape,
     .success = 201,
     .handle = create},
    {.method = "GET",
     .path = "/v1/tenants/{id}",
     .tag = "administration",
     .summary = "One tenant",
     .who = access::platform,
     .answer = &tenant_shape,
     .handle = show},
    {.method = "PATCH",
     .path = "/v1/tenants/{id}",
     .tag = "administration",
     .summary = "Changes a tenant's tier, status or limits",
     .who = access::platform,
     .body = &change_body,
     .answer = &tenant_shape,
     .handle = change},
    {.method = "DELETE",
     .path = "/v1/tenants/{id}",
     .tag = "administration",
     .summary = "Removes a tenant: its keys open nothing any more, its rows stay",
     .who = access::platform,
     .success = 204,
     .handle = remove},
};

}  // namespace

std::span<const route> operators_tenant_routes() { return table; }

}  // namespace kgents::gateway
