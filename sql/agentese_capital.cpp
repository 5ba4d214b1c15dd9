#include "sql/agentese_capital.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_capital {

query<nano_amount> balance(tenant_id tenant, std::string_view agent) {
  constexpr std::string_view text = "SELECT kg.capital_balance($1)";
  return {{.tenant = tenant, .statements = {{text, {std::string{agent}}}}, .read_only = true},
          [](std::vector<rows>& all) { return nano_amount{all[0].integer(0, 0)}; }};
}

query<std::vector<capital_event>> history(tenant_id tenant, std::string_view agent,
                                          uint32_t limit) {
  constexpr std::string_view text =
      "SELECT event_type, amount, metadata, " KGENTS_SQL_TIME("created_at")
      " FROM (SELECT * FROM kg.agentese_capital WHERE agent = $1 ORDER BY seq DESC LIMIT $2)"
      " newest ORDER BY seq";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{agent}, sql::value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            std::vector<capital_event> out;
            for (int row = 0; row < x.size(); ++row)
              out.push_back({.type = string_at(x, row, 0),
                             .amount = {x.integer(row, 1)},
                             .metadata = string_at(x, row, 2),
                             .timestamp = string_at(x, row, 3)});
            return out;
          }};
}

query<capital_written> append(tenant_id tenant, std::string_view agent, std::string_view type,
                              std::optional<nano_amount> amount, std::string_view metadata) {
  constexpr std::string_view text =
      "SELECT appended, balance FROM kg.capital_append($1, $2, $3, $4)";
  return {{.tenant = tenant,
           .statements = {{text,
                           {std::string{agent}, std::string{type},
                            amount ? sql::value(amount->nanos) : param{}, std::string{metadata}}}}},
          [](std::vector<rows>& all) {
            return capital_written{all[0].boolean(0, 0), {all[0].integer(0, 1)}};
          }};
}

query<capital_token> bypass(tenant_id tenant, std::string_view agent, std::string_view check,
                            nano_amount cost, uint32_t seconds, std::string_view token_hash) {
  constexpr std::string_view text = "SELECT outcome, balance, " KGENTS_SQL_TIME(
      "expires_at") " FROM kg.capital_bypass($1, $2, $3, $4, $5)";
  return {{.tenant = tenant,
           .statements = {{text,
                           {std::string{agent}, std::string{check}, sql::value(cost.nanos),
                            sql::value(seconds), std::string{token_hash}}}}},
          [](std::vector<rows>& all) {
            using enum capital_token::outcome;
            const auto& x = all[0];
            const auto what = x.text(0, 0);
            return capital_token{.what = what == "issued" ? issued
                                         : what == "full" ? full
                                                          : insufficient,
                                 .balance = {x.integer(0, 1)},
                                 .expires_at = string_at(x, 0, 2)};
          }};
}

query<token_state> look_at_token(tenant_id tenant, std::string_view token_hash,
                                 std::string_view check) {
  constexpr std::string_view text =
      "SELECT check_name = $2, redeemed_at IS NOT NULL, expires_at <= now()"
      " FROM kg.agentese_bypasses WHERE token_hash = $1";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{token_hash}, std::string{check}}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            if (x.empty())
              return token_state::unknown;
            if (!x.boolean(0, 0))
              return token_state::other_check;
            if (x.boolean(0, 1))
              return token_state::used;
            return x.boolean(0, 2) ? token_state::expired : token_state::valid;
          }};
}

query<std::optional<redeemed_token>> redeem(tenant_id tenant, std::string_view token_hash,
                                            std::string_view check) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_bypasses SET redeemed_at = now() WHERE token_hash = $1"
      " AND check_name = $2 AND redeemed_at IS NULL AND expires_at > now()"
      " RETURNING agent, cost, " KGENTS_SQL_TIME("expires_at");
  return {{.tenant = tenant, .statements = {{text, {std::string{token_hash}, std::string{check}}}}},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            return x.empty() ? std::nullopt
                             : std::optional{redeemed_token{.agent = string_at(x, 0, 0),
                                                            .cost = {x.integer(0, 1)},
                                                            .expires_at = string_at(x, 0, 2)}};
          }};
}

}  // namespace kgents::sql::agentese_capital
