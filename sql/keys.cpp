#include "sql/keys.hpp"

#include "sql/acting.hpp"
#include "sql/columns.hpp"

/// What a key resolves to, whichever function finds it. A macro, since SQL is literals only.
#define KGENTS_RESOLVED_COLUMNS                                                                  \
  "SELECT key_id, tenant_id, user_id, user_ref, key_prefix, array_to_string(scopes, ','), tier, " \
  "status, rpm, burst, rph, ops_per_day, tokens_limit_month, tokens_limit_request, "              \
  "tokens_used_month, data_plane, silo_dsn_ref, "                                                 \
  "(extract(epoch FROM expires_at) * 1000)::bigint FROM "

namespace kgents::sql::keys {

namespace {

std::optional<resolved_key> parse_resolved(std::vector<rows>& all) {
  const auto& x = all[0];
  if (x.empty())
    return std::nullopt;
  resolved_key key;
  key.key = id_at<api_key_id>(x, 0, 0);
  key.tenant = id_at<tenant_id>(x, 0, 1);
  key.user = optional_id_at<user_id>(x, 0, 2);
  key.user_ref = string_at(x, 0, 3);
  key.prefix = string_at(x, 0, 4);
  key.scopes = parse_scopes(x.text(0, 5));
  key.tier = string_at(x, 0, 6);
  key.status = string_at(x, 0, 7);
  key.requests_per_minute = count_at<uint32_t>(x, 0, 8);
  key.burst = count_at<uint32_t>(x, 0, 9);
  key.requests_per_hour = count_at<uint32_t>(x, 0, 10);
  key.operations_per_day = count_at<uint32_t>(x, 0, 11);
  key.tokens_limit_month = count_at<uint64_t>(x, 0, 12);
  if (!x.is_null(0, 13))
    key.tokens_limit_request = count_at<uint32_t>(x, 0, 13);
  key.tokens_used_month = count_at<uint64_t>(x, 0, 14);
  key.data_plane = string_at(x, 0, 15);
  key.silo_dsn_ref = x.optional_text(0, 16);
  if (!x.is_null(0, 17))
    key.expires_at =
        std::chrono::system_clock::time_point{std::chrono::milliseconds{x.integer(0, 17)}};
  return key;
}

// A word of a newer schema is read as the safest one: nothing may be done with the key.
unfit parse_unfit(std::string_view x) {
  using enum unfit;
  if (x == "changed")
    return changed;
  if (x == "unreadable")
    return unreadable;
  if (x == "key_expired")
    return key_expired;
  if (x == "user_deactivated")
    return user_deactivated;
  return x == "tenant_inactive" ? tenant_inactive : key_revoked;
}

}  // namespace

query<std::optional<resolved_key>> resolve(std::string_view hash) {
  constexpr std::string_view text = KGENTS_RESOLVED_COLUMNS "kg.resolve_api_key($1)";
  return {{.statements = {{text, {std::string{hash}}}}, .read_only = true}, parse_resolved};
}

query<std::optional<resolved_key>> resolve_sign_in(const sign_in& who) {
  constexpr std::string_view text =
      KGENTS_RESOLVED_COLUMNS
      "kg.resolve_sign_in($1, $2, $3, nullif($4, ''), nullif($5, ''), $6, $7)";
  return {{.statements = {{text,
                           {who.issuer, who.subject, value(who.tenant), who.email,
                            who.name, who.role, value(who.provision)}}}},
          parse_resolved};
}

query<std::vector<unfit_key>> unfit_among(const std::vector<api_key_id>& some) {
  std::string list = "{";
  for (const auto& x : some) {
    x.value.append_to(list);
    list += ',';
  }
  if (list.size() > 1)
    list.pop_back();
  list += '}';
  return {{.statements = {{"SELECT key_id, reason, changed_at FROM kg.unfit_keys($1)", {std::move(list)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<unfit_key> out;
            for (int i = 0; i < all[0].size(); ++i)
              out.push_back({id_at<api_key_id>(all[0], i, 0), parse_unfit(all[0].text(i, 1)),
                             all[0].integer(i, 2)});
            return out;
          }};
}

query<key_usage> usage_of(tenant_id tenant, api_key_id key) {
  constexpr std::string_view text =
      "SELECT coalesce(sum(operations) FILTER (WHERE period = day), 0), "
      "coalesce(sum(tokens) FILTER (WHERE period = day), 0), "
      "coalesce(sum(tokens) FILTER (WHERE period = month), 0) "
      "FROM (SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, "
      "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') AS month) today "
      "JOIN kg.usage_counters ON tenant_id = kg.current_tenant_id() AND api_key_id = $1 "
      "AND period IN (day, month)";
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{text, {value(key)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            return key_usage{count_at<uint64_t>(all[0], 0, 0), count_at<uint64_t>(all[0], 0, 1),
                             count_at<uint64_t>(all[0], 0, 2)};
          }};
}

query<taken_operations> take_operations(tenant_id tenant, api_key_id key, uint32_t wanted,
                                        uint32_t limit) {
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{"SELECT granted, today FROM kg.take_operations($1, $2, $3)",
                           {value(key), value(wanted), value(limit)}}}},
          [](std::vector<rows>& all) {
            return taken_operations{count_at<uint32_t>(all[0], 0, 0),
                                    count_at<uint64_t>(all[0], 0, 1)};
          }};
}

query<nothing> touch(tenant_id tenant, api_key_id key, uint64_t uses) {
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{"SELECT kg.update_api_key_usage($1, $2)", {value(key), value(uses)}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::keys
