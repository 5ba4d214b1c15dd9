#include "sql/agentese_metabolism.hpp"

#include <cstdlib>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql::agentese_metabolism {

namespace {

double number_at(const rows& x, int row, int column) {
  const auto text = x.text(row, column);
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

/// Shortest form that reads back the same.
param number(double x) {
  char out[32];
  return std::string{out, std::to_chars(out, out + sizeof out, x).ptr};
}

metabolism_view view_of(std::vector<rows>& all) {
  metabolism_view out;
  const auto& state = all[0];
  out.now = number_at(state, 0, 0);
  if (!state.is_null(0, 1))
    out.state = {.pressure = number_at(state, 0, 1),
                 .in_fever = state.boolean(0, 2),
                 .intensity = number_at(state, 0, 3),
                 .fevers = count_at<uint64_t>(state, 0, 4),
                 .settled_to = number_at(state, 0, 5)};
  else
    out.state.settled_to = out.now;
  const auto& used = all[1];
  for (int row = 0; row < used.size(); ++row) {
    const tokens_of_second one{.second = used.integer(row, 0),
                               .tokens_in = count_at<uint64_t>(used, row, 1),
                               .tokens_out = count_at<uint64_t>(used, row, 2)};
    out.tokens_in += one.tokens_in;
    out.tokens_out += one.tokens_out;
    if (used.boolean(row, 3))
      out.since.push_back(one);
  }
  // Nobody has settled yet: from the first use in the window.
  if (state.is_null(0, 1) && !out.since.empty())
    out.state.settled_to = static_cast<double>(out.since.front().second);
  return out;
}

}  // namespace

query<metabolism_view> view(tenant_id tenant, std::chrono::seconds window) {
  constexpr std::string_view state =
      "SELECT extract(epoch FROM now()), m.pressure, m.in_fever, m.intensity, m.fevers,"
      " extract(epoch FROM m.settled_to)"
      " FROM (SELECT) one LEFT JOIN kg.agentese_metabolism m ON true";
  // By second, since that is a tick: at most as many rows as the window has seconds, and one more
  // where a settlement fell within a second.
  constexpr std::string_view used =
      "SELECT floor(extract(epoch FROM u.created_at))::bigint AS second,"
      " sum(u.tokens_in), sum(u.tokens_out),"
      " u.created_at > coalesce(m.settled_to, '-infinity') AS fresh"
      " FROM kg.usage_events u LEFT JOIN kg.agentese_metabolism m ON true"
      " WHERE (u.tokens_in > 0 OR u.tokens_out > 0)"
      " AND u.created_at > now() - $1::bigint * interval '1 second'"
      " GROUP BY second, fresh ORDER BY second, fresh";
  return {{.tenant = tenant,
           .statements = {{state}, {used, {sql::value(window.count())}}},
           .read_only = true},
          view_of};
}

query<metabolism_settled> settle(tenant_id tenant, const metabolism& state,
                                 const std::vector<nano_amount>& draws) {
  constexpr std::string_view keep =
      "INSERT INTO kg.agentese_metabolism AS m"
      " (tenant_id, pressure, in_fever, intensity, fevers, settled_to)"
      " VALUES (kg.current_tenant_id(), $1, $2, $3, $4, to_timestamp($5))"
      " ON CONFLICT (tenant_id) DO UPDATE SET pressure = excluded.pressure,"
      " in_fever = excluded.in_fever, intensity = excluded.intensity, fevers = excluded.fevers,"
      " settled_to = excluded.settled_to";
  constexpr std::string_view draw =
      "SELECT coalesce(sum(x.changed), 0), min(x.remaining) FROM unnest($1::bigint[]) amount,"
      " LATERAL kg.entropy_move('', 'fever', amount, -amount, NULL, NULL) x";
  std::string amounts;
  for (const auto& x : draws) {
    begin_element(amounts);
    amounts += std::to_string(x.nanos);
  }
  return {
      {.tenant = tenant,
       .statements = {{keep,
                       {number(state.pressure), state.in_fever ? "t" : "f", number(state.intensity),
                        value(state.fevers), number(state.settled_to)}},
                      {draw, {take_array(amounts)}}}},
      [](std::vector<rows>& all) {
        const auto& x = all[1];
        return metabolism_settled{.drawn = {std::abs(x.integer(0, 0))},
                                  .remaining = x.is_null(0, 1)
                                                   ? std::nullopt
                                                   : std::optional{nano_amount{x.integer(0, 1)}}};
      }};
}

}  // namespace kgents::sql::agentese_metabolism
