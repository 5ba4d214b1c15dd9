#include "sql/token_budget.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::tokens {

namespace {

held_tokens parse_held(std::vector<rows>& all) {
  const auto& x = all[0];
  using enum held_tokens::kind;
  if (x.is_null(0, 0))
    return {};
  if (const auto granted = count_at<uint64_t>(x, 0, 0); granted > 0)
    return {.what = held, .tokens = granted};
  if (x.boolean(0, 5))
    return {.what = oversized, .budget = {.allowed = count_at<uint64_t>(x, 0, 4)}};
  return {.what = exhausted,
          .budget = {.allowed = count_at<uint64_t>(x, 0, 1),
                     .used = count_at<uint64_t>(x, 0, 2),
                     .held = count_at<uint64_t>(x, 0, 3)}};
}

}  // namespace

query<held_tokens> hold(tenant_id tenant, usage_id id, std::optional<api_key_id> key,
                        const token_need& need, std::chrono::seconds at_most) {
  constexpr std::string_view text =
      "SELECT granted, allowed, used, held, a_request, coalesce($4::bigint > a_request, false) "
      "FROM kg.reserve_tokens($1, $2, $3, $4, $5)";
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(id), value(key), value(need.most), value(need.least),
                            value(at_most.count())}}}},
          parse_held};
}

query<nothing> keep(tenant_id tenant, usage_id id, uint64_t tokens, std::chrono::seconds at_most) {
  statement one = tokens == 0
                      ? statement{"DELETE FROM kg.token_reservations WHERE id = $1", {value(id)}}
                      : statement{"UPDATE kg.token_reservations SET tokens = $2, expires_at = "
                                  "now() + make_interval(secs => $3) WHERE id = $1",
                                  {value(id), value(tokens), value(at_most.count())}};
  return {{.tenant = tenant, .statements = {std::move(one)}},
          [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::tokens
