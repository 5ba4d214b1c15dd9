#include "sql/agentese_entropy.hpp"

#include <cstdlib>

#include "sql/columns.hpp"

namespace kgents::sql::agentese_entropy {

namespace {

nano_amount amount_at(const rows& x, int row, int column) {
  return {std::abs(x.integer(row, column))};
}

param text_of(double x) {
  char out[32];
  const auto end = std::to_chars(out, out + sizeof out, x).ptr;
  return std::string{out, end};
}

double number_at(const rows& x, int row, int column) {
  const auto text = x.text(row, column);
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

/// changed (NULL: refused), remaining
entropy_change change_of(std::vector<rows>& all) {
  return {.done = !all[0].is_null(0, 0),
          .changed = amount_at(all[0], 0, 0),
          .remaining = amount_at(all[0], 0, 1)};
}

std::optional<nano_amount> one_amount(std::vector<rows>& all) {
  if (all[0].empty())
    return std::nullopt;
  return amount_at(all[0], 0, 0);
}

query<entropy_change> move(tenant_id tenant, std::string_view pool, std::string_view action,
                           nano_amount amount, int64_t change, std::optional<double> seed,
                           std::optional<uuid> grant) {
  constexpr std::string_view text =
      "SELECT changed, remaining FROM kg.entropy_move($1, $2, $3, $4, $5, $6)";
  return {{.tenant = tenant,
           .statements = {{text,
                           {std::string{pool}, std::string{action}, sql::value(amount.nanos),
                            sql::value(change), seed ? text_of(*seed) : param{},
                            grant ? param{grant->text()} : param{}}}}},
          change_of};
}

}  // namespace

query<entropy_state> state(tenant_id tenant, std::string_view pool) {
  constexpr std::string_view text =
      "SELECT remaining, moves FROM kg.agentese_entropy WHERE pool = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{pool}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            if (all[0].empty())
              return entropy_state{.remaining = cap};
            return entropy_state{.remaining = amount_at(all[0], 0, 0),
                                 .moves = count_at<uint64_t>(all[0], 0, 1)};
          }};
}

query<std::vector<entropy_move>> history(tenant_id tenant, std::string_view pool, uint32_t limit) {
  constexpr std::string_view text =
      "SELECT action, amount, seed, remaining, " KGENTS_SQL_TIME("created_at")
      " FROM (SELECT * FROM kg.agentese_entropy_history WHERE pool = $1"
      " ORDER BY seq DESC LIMIT $2) newest ORDER BY seq";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{pool}, sql::value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            std::vector<entropy_move> out;
            for (int row = 0; row < x.size(); ++row)
              out.push_back(
                  {.action = string_at(x, row, 0),
                   .amount = amount_at(x, row, 1),
                   .seed = x.is_null(row, 2) ? std::nullopt : std::optional{number_at(x, row, 2)},
                   .remaining = amount_at(x, row, 3),
                   .timestamp = string_at(x, row, 4)});
            return out;
          }};
}

query<entropy_change> draw(tenant_id tenant, std::string_view pool, std::string_view action,
                           nano_amount amount, std::optional<double> seed,
                           std::optional<uuid> grant) {
  return move(tenant, pool, action, amount, -amount.nanos, seed, grant);
}

query<entropy_change> tithe(tenant_id tenant, std::string_view pool, std::string_view action) {
  return move(tenant, pool, action, regeneration, regeneration.nanos, std::nullopt, std::nullopt);
}

query<entropy_poured> pour(tenant_id tenant, std::string_view pool, nano_amount amount) {
  constexpr std::string_view text =
      "SELECT returned, recovered, remaining FROM kg.entropy_pour($1, $2, NULL)";
  return {{.tenant = tenant, .statements = {{text, {std::string{pool}, sql::value(amount.nanos)}}}},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            return entropy_poured{amount_at(x, 0, 0), amount_at(x, 0, 1), amount_at(x, 0, 2)};
          }};
}

query<std::optional<nano_amount>> unused(tenant_id tenant, std::string_view pool,
                                         const uuid& grant) {
  constexpr std::string_view text =
      "SELECT amount FROM kg.agentese_entropy_history WHERE pool = $1 AND unused = $2";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{pool}, grant.text()}}},
           .read_only = true},
          one_amount};
}

query<std::optional<entropy_poured>> pour_grant(tenant_id tenant, std::string_view pool,
                                                const uuid& grant) {
  constexpr std::string_view text =
      "SELECT returned, recovered, remaining FROM kg.entropy_pour($1, NULL, $2)";
  return {{.tenant = tenant, .statements = {{text, {std::string{pool}, grant.text()}}}},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            return x.is_null(0, 0)
                       ? std::nullopt
                       : std::optional{entropy_poured{amount_at(x, 0, 0), amount_at(x, 0, 1),
                                                      amount_at(x, 0, 2)}};
          }};
}

query<entropy_change> charge(tenant_id tenant, std::string_view pool, std::string_view name,
                             nano_amount amount) {
  constexpr std::string_view text =
      "SELECT CASE WHEN outcome <> 'exhausted' THEN $3::bigint END, remaining"
      " FROM kg.entropy_charge($1, $2, $3)";
  return {
      {.tenant = tenant,
       .statements = {{text, {std::string{pool}, std::string{name}, sql::value(amount.nanos)}}}},
      change_of};
}

query<std::optional<nano_amount>> charged(tenant_id tenant, std::string_view name) {
  constexpr std::string_view text =
      "SELECT amount FROM kg.agentese_entropy_charges WHERE charge = $1 AND NOT refunded";
  return {{.tenant = tenant, .statements = {{text, {std::string{name}}}}, .read_only = true},
          one_amount};
}

query<entropy_change> refund(tenant_id tenant, std::string_view pool, std::string_view name) {
  constexpr std::string_view text = "SELECT refunded, remaining FROM kg.entropy_refund($1, $2)";
  return {{.tenant = tenant, .statements = {{text, {std::string{pool}, std::string{name}}}}},
          change_of};
}

}  // namespace kgents::sql::agentese_entropy
