#include "sql/stripe_events.hpp"

#include <array>

#include "sql/columns.hpp"

namespace kgents::sql::stripe_events {

namespace {

stripe_result result_named(std::string_view name) {
  constexpr std::array<std::string_view, 4> names = {"done", "stale", "unlinked", "failed"};
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name)
      return static_cast<stripe_result>(i);
  return stripe_result::taken;
}

}  // namespace

query<bool> record(std::string_view id, std::string_view type, int64_t created,
                   std::string_view payload) {
  return {{.statements = {{"SELECT kg.record_stripe_event($1, $2, $3, $4)",
                           {std::string{id}, std::string{type}, value(created),
                            std::string{payload}}}}},
          [](std::vector<rows>& all) { return all[0].boolean(0, 0); }};
}

query<std::vector<due_stripe_event>> due(uint32_t limit) {
  return {{.statements = {{"SELECT event_id, payload, attempts FROM kg.due_stripe_events($1)",
                           {value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<due_stripe_event> out;
            for (int i = 0; i < all[0].size(); ++i)
              out.push_back({string_at(all[0], i, 0), string_at(all[0], i, 1),
                             count_at<uint32_t>(all[0], i, 2)});
            return out;
          }};
}

query<stripe_result> apply(const stripe_application& x) {
  std::vector<param> params = {x.event,
                               std::string{x.effect},
                               x.customer.empty() ? param{} : param{x.customer},
                               value(x.named),
                               x.subscription,
                               x.tier,
                               x.status,
                               x.period_end ? value(*x.period_end) : param{}};
  if (x.metered)
    params.insert(params.end(), {x.metered->id, x.metered->type, x.metered->data});
  else
    params.insert(params.end(), 3, param{});
  constexpr std::string_view text =
      "SELECT kg.apply_stripe_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
  return {{.statements = {{text, std::move(params)}}},
          [](std::vector<rows>& all) { return result_named(all[0].text(0, 0)); }};
}

query<bool> put_off(std::string_view id, std::string_view why) {
  return {{.statements = {{"SELECT kg.put_off_stripe_event($1, $2)",
                           {std::string{id}, std::string{why}}}}},
          [](std::vector<rows>& all) { return all[0].boolean(0, 0); }};
}

query<uint64_t> trim(uint32_t limit) {
  return {{.statements = {{"SELECT kg.trim_stripe_events($1)", {value(limit)}}}},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

query<std::optional<std::string>> adopt_customer(tenant_id tenant, std::string_view customer) {
  return {{.statements = {{"SELECT kg.adopt_stripe_customer($1, $2)",
                           {value(tenant), std::string{customer}}}}},
          [](std::vector<rows>& all) { return all[0].optional_text(0, 0); }};
}

query<std::optional<account>> account_of(tenant_id tenant, std::optional<user_id> asking) {
  constexpr std::string_view text =
      "SELECT t.name, t.subscription_tier, t.subscription_status, t.stripe_customer_id, "
      "t.stripe_subscription_id, t.tokens_limit_month, "
      "(SELECT role FROM kg.users WHERE id = $2 AND deleted_at IS NULL), "
      "(SELECT email FROM kg.users WHERE tenant_id = t.id AND deleted_at IS NULL "
      "AND (id = $2 OR role = 'owner') ORDER BY id = $2 DESC NULLS LAST, created_at LIMIT 1) "
      "FROM kg.tenants t WHERE t.id = $1 AND t.deleted_at IS NULL";
  return {
      {.tenant = tenant,
       .where = plane::control,
       .statements = {{text, {value(tenant), value(asking)}}},
       .read_only = true},
      [](std::vector<rows>& all) -> std::optional<account> {
        const auto& x = all[0];
        if (x.empty())
          return std::nullopt;
        return account{.name = string_at(x, 0, 0),
                       .tier = string_at(x, 0, 1),
                       .status = string_at(x, 0, 2),
                       .customer = x.optional_text(0, 3),
                       .subscription = x.optional_text(0, 4),
                       .tokens_limit_month = count_at<uint64_t>(x, 0, 5),
                       .role = x.optional_text(0, 6),
                       .email = x.optional_text(0, 7)};
      }};
}

}  // namespace kgents::sql::stripe_events
