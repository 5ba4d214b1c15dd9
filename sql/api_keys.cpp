#include "sql/api_keys.hpp"

#include "sql/columns.hpp"

// In the order in which `key_at` reads them. Macros, since SQL is literals only.
#define KGENTS_KEY_COLUMNS                                                                        \
  "k.id, k.user_id, k.key_prefix, k.name, array_to_string(k.scopes, ','), k.rate_limit_rpm, "     \
  KGENTS_SQL_TIME("k.created_at") ", " KGENTS_SQL_TIME("k.expires_at") ", "                       \
  KGENTS_SQL_TIME("k.last_used_at") ", k.use_count, k.is_active, " KGENTS_SQL_TIME("k.revoked_at")
// Not the rows that stand for people who signed in. Without a person, a key's own are those with its
// reference, and at least itself.
#define KGENTS_ISSUED_KEYS                                                                        \
  " FROM kg.api_keys k WHERE k.tenant_id = kg.current_tenant_id() AND k.kind = 'issued'"          \
  " AND ($1::uuid IS NULL OR k.id = $1::uuid"                                                     \
  " OR coalesce(k.user_id::text, k.user_ref) = (SELECT coalesce(o.user_id::text, o.user_ref)"     \
  " FROM kg.api_keys o WHERE o.tenant_id = k.tenant_id AND o.id = $1::uuid))"

namespace kgents::sql::api_keys {

namespace {

constexpr std::string_view one = "SELECT " KGENTS_KEY_COLUMNS KGENTS_ISSUED_KEYS " AND k.id = $2";

api_key_row key_at(const rows& x, int row) {
  api_key_row out{.id = id_at<api_key_id>(x, row, 0),
                  .user = optional_id_at<user_id>(x, row, 1),
                  .prefix = string_at(x, row, 2),
                  .name = string_at(x, row, 3),
                  .scopes = parse_scopes(x.text(row, 4)),
                  .requests_per_minute = {},
                  .created_at = string_at(x, row, 6),
                  .expires_at = x.optional_text(row, 7),
                  .last_used_at = x.optional_text(row, 8),
                  .use_count = count_at<uint64_t>(x, row, 9),
                  .active = x.boolean(row, 10),
                  .revoked_at = x.optional_text(row, 11)};
  if (!x.is_null(row, 5))
    out.requests_per_minute = count_at<uint32_t>(x, row, 5);
  return out;
}

std::optional<api_key_row> key_of(const rows& x) {
  return x.empty() ? std::nullopt : std::optional{key_at(x, 0)};
}

query<acted<api_key_row>> act(const acting& who, api_key_id id, statement what) {
  return {{.tenant = who.tenant,
           .where = plane::control,
           .statements = {std::move(what), {one, {std::nullopt, value(id)}}}},
          [](std::vector<rows>& all) {
            acted<api_key_row> out{.result = act_result_at(all[0]), .row = {}};
            if (out.result.done())
              out.row = key_of(all[1]);
            return out;
          }};
}

param number_or_null(const std::optional<uint32_t>& x) { return x ? value(*x) : std::nullopt; }

}  // namespace

query<api_key_page> list(tenant_id tenant, std::optional<api_key_id> own, uint32_t limit,
                         uint64_t offset) {
  constexpr std::string_view page = "SELECT " KGENTS_KEY_COLUMNS KGENTS_ISSUED_KEYS
                                    " ORDER BY k.created_at DESC, k.id DESC LIMIT $2 OFFSET $3";
  constexpr std::string_view total = "SELECT count(*)" KGENTS_ISSUED_KEYS;
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{page, {value(own), value(limit), value(offset)}}, {total, {value(own)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            api_key_page out{.keys = {}, .total = count_at<uint64_t>(all[1], 0, 0)};
            for (int row = 0; row < all[0].size(); ++row)
              out.keys.push_back(key_at(all[0], row));
            return out;
          }};
}

query<std::optional<api_key_row>> get(tenant_id tenant, std::optional<api_key_id> own,
                                      api_key_id id) {
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{one, {value(own), value(id)}}},
           .read_only = true},
          [](std::vector<rows>& all) { return key_of(all[0]); }};
}

query<acted<api_key_row>> create(const acting& who, const new_api_key& fresh) {
  return act(who, fresh.id,
             {"SELECT kg.create_api_key($1, $2, $3, $4, $5, $6, $7, $8, $9)",
              {who_param(who), value(fresh.id), value(fresh.user), fresh.prefix, fresh.hash,
               fresh.name, scopes_literal(fresh.scopes), number_or_null(fresh.expires_in_days),
               number_or_null(fresh.requests_per_minute)}});
}

query<acted<api_key_row>> rotate(const acting& who, api_key_id id, const new_api_key& fresh) {
  return act(who, fresh.id,
             {"SELECT kg.rotate_api_key($1, $2, $3, $4, $5)",
              {who_param(who), value(id), value(fresh.id), fresh.prefix, fresh.hash}});
}

query<act_result> revoke(const acting& who, api_key_id id) {
  return {{.tenant = who.tenant,
           .where = plane::control,
           .statements = {{"SELECT kg.revoke_api_key($1, $2)", {who_param(who), value(id)}}}},
          [](std::vector<rows>& all) { return act_result_at(all[0]); }};
}

}  // namespace kgents::sql::api_keys
