#include "sql/agentese_schedule.hpp"

#include <algorithm>
#include <array>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql {

namespace {

constexpr std::array<std::string_view, 5> status_names = {"pending", "running", "executed",
                                                          "failed", "cancelled"};

std::string array_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& x : texts) {
    begin_element(out);
    append_quoted(out, x);
  }
  return take_array(out);
}

std::string array_of(const std::vector<int64_t>& numbers) {
  std::string out;
  for (const auto x : numbers) {
    begin_element(out);
    out += std::to_string(x);
  }
  return take_array(out);
}

std::string scopes_of(const agentese::caller& by) {
  std::vector<std::string> out;
  if (by.read)
    out.emplace_back("read");
  if (by.write)
    out.emplace_back("write");
  if (by.admin)
    out.emplace_back("admin");
  return array_of(out);
}

param key_of(const agentese::caller& by) {
  return by.key.value.is_nil() ? param{} : param{by.key.text()};
}

std::vector<int64_t> numbers_of(std::string_view list) {
  std::vector<int64_t> out;
  const auto* at = list.data();
  const auto* end = at + list.size();
  while (at < end) {
    at = std::from_chars(at, end, out.emplace_back()).ptr;
    if (at < end)
      ++at;  // the comma
  }
  return out;
}

query<std::optional<deferred_action>> defer(tenant_id tenant, const new_action& x, param delay,
                                            param at) {
  constexpr std::string_view text =
      "SELECT id, " KGENTS_SQL_TIME("scheduled_for")
      " FROM kg.defer_agentese_action($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
  return {{.tenant = tenant,
           .statements = {{text,
                           {x.path, x.kwargs, x.strict ? "t" : "f", x.who.archetype, x.who.id,
                            array_of(x.who.capabilities), x.by.user, key_of(x.by), x.by.tier,
                            scopes_of(x.by), std::move(delay), std::move(at),
                            value(pending_actions_most)}}}},
          [](std::vector<rows>& all) -> std::optional<deferred_action> {
            if (all[0].empty())
              return std::nullopt;
            return deferred_action{all[0].integer(0, 0), string_at(all[0], 0, 1)};
          }};
}

action_page page_of(std::vector<rows>& all) {
  action_page out;
  const auto& x = all[0];
  for (int row = x.size() - 1; row >= 0; --row)
    out.actions.push_back({.id = x.integer(row, 0),
                           .path = string_at(x, row, 1),
                           .scheduled_for = string_at(x, row, 2),
                           .status = parse_action_status(x.text(row, 3)).value_or(
                               action_status::failed),
                           .own = x.boolean(row, 4),
                           .result = string_at(x, row, 5),
                           .truncated = x.boolean(row, 6),
                           .error = string_at(x, row, 7),
                           .ended_at = string_at(x, row, 8)});
  out.total = all[1].integer(0, 0);
  return out;
}

/// The capabilities come one a row, behind the columns of the action: an array's text form would
/// have to be parsed.
std::optional<claimed_action> claimed_of(std::vector<rows>& all) {
  const auto& x = all[0];
  if (x.empty())
    return std::nullopt;
  claimed_action out;
  out.id = x.integer(0, 0);
  out.what.path = x.text(0, 1);
  out.what.kwargs = x.text(0, 2);
  out.what.strict = x.boolean(0, 3);
  out.what.who.archetype = x.text(0, 4);
  out.what.who.id = x.text(0, 5);
  out.what.by.user = x.text(0, 6);
  out.what.by.key = id_at<api_key_id>(x, 0, 7);
  out.what.by.tier = x.text(0, 8);
  out.what.by.read = x.boolean(0, 9);
  out.what.by.write = x.boolean(0, 10);
  out.what.by.admin = x.boolean(0, 11);
  out.denied = x.text(0, 12);
  for (int row = 0; row < x.size(); ++row)
    if (!x.is_null(row, 13))
      out.what.who.capabilities.push_back(string_at(x, row, 13));
  return out;
}

}  // namespace

std::string_view to_string(action_status x) noexcept {
  return status_names[static_cast<size_t>(x)];
}

std::optional<action_status> parse_action_status(std::string_view name) noexcept {
  const auto at = std::find(status_names.begin(), status_names.end(), name);
  if (at == status_names.end())
    return std::nullopt;
  return static_cast<action_status>(at - status_names.begin());
}

namespace agentese_schedule {

query<std::optional<deferred_action>> defer_by(tenant_id tenant, const new_action& what,
                                               std::chrono::microseconds delay) {
  return defer(tenant, what, value(delay.count()), {});
}

query<std::optional<deferred_action>> defer_until(tenant_id tenant, const new_action& what,
                                                  std::chrono::system_clock::time_point at) {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch());
  return defer(tenant, what, {}, value(since.count()));
}

query<std::optional<action_status>> status_of(tenant_id tenant, int64_t id) {
  constexpr std::string_view text = "SELECT status FROM kg.agentese_actions WHERE id = $1";
  return {{.tenant = tenant, .statements = {{text, {value(id)}}}, .read_only = true},
          [](std::vector<rows>& all) -> std::optional<action_status> {
            if (all[0].empty())
              return std::nullopt;
            return parse_action_status(all[0].text(0, 0));
          }};
}

query<bool> cancel(tenant_id tenant, int64_t id) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_actions SET status = 'cancelled', ended_at = now()"
      " WHERE id = $1 AND status = 'pending' RETURNING id";
  return {{.tenant = tenant,
           .statements = {{text, {value(id)}}, {"SELECT kg.reschedule_agentese()"}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

query<action_page> list(tenant_id tenant, std::optional<action_status> status,
                        const agentese::caller& by, size_t limit) {
  constexpr std::string_view newest =
      "SELECT id, path, " KGENTS_SQL_TIME("scheduled_for") ", status,"
      " caller_user = $2 AND caller_key IS NOT DISTINCT FROM $3::uuid, result::text, truncated,"
      " error, " KGENTS_SQL_TIME("ended_at")
      " FROM kg.agentese_actions WHERE $1::text IS NULL OR status = $1::text"
      " ORDER BY id DESC LIMIT $4";
  constexpr std::string_view total =
      "SELECT count(*) FROM kg.agentese_actions WHERE $1::text IS NULL OR status = $1::text";
  const auto wanted = status ? param{std::string{to_string(*status)}} : param{};
  return {{.tenant = tenant,
           .statements = {{newest, {wanted, by.user, key_of(by), value(limit)}}, {total, {wanted}}},
           .read_only = true},
          page_of};
}

query<work_left> look(tenant_id tenant) {
  constexpr std::string_view text =
      "SELECT (SELECT id FROM kg.agentese_actions WHERE status = 'pending'"
      " AND scheduled_for <= now() ORDER BY scheduled_for, id LIMIT 1),"
      " (SELECT string_agg(id::text, ',') FROM kg.agentese_actions WHERE status = 'running'),"
      " (SELECT count(*) FROM kg.agentese_actions WHERE status = 'pending')";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) {
            work_left out;
            if (!all[0].is_null(0, 0))
              out.due = all[0].integer(0, 0);
            out.running = numbers_of(all[0].text(0, 1));
            out.pending = all[0].integer(0, 2);
            return out;
          }};
}

query<std::optional<claimed_action>> claim(tenant_id tenant, int64_t id, const fence& lease) {
  constexpr std::string_view text =
      "SELECT c.id, c.path, c.kwargs, c.is_strict, c.archetype, c.observer_id, c.caller_user,"
      " c.caller_key, c.caller_tier, 'read' = ANY (c.caller_scopes), 'write' = ANY"
      " (c.caller_scopes), 'admin' = ANY (c.caller_scopes), c.denied, x.capability"
      " FROM kg.claim_agentese_action($1, $2, $3) c"
      " LEFT JOIN LATERAL unnest(c.capabilities) AS x (capability) ON true";
  return {{.tenant = tenant,
           .statements = {{text, {value(id), value(lease.shard.value), value(lease.epoch)}}}},
          claimed_of};
}

query<bool> end(tenant_id tenant, int64_t id, action_status status, std::string_view result,
                std::string_view error) {
  constexpr std::string_view text = "SELECT kg.end_agentese_action($1, $2, $3, $4, $5, $6)";
  const bool too_large = result.size() > action_result_bytes;
  const auto text_or_null = [](std::string_view x) {
    return x.empty() ? param{} : param{std::string{x}};
  };
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(id), std::string{to_string(status)},
                            text_or_null(too_large ? std::string_view{} : result),
                            too_large ? "t" : "f", text_or_null(error),
                            value(ended_actions_kept)}}}},
          [](std::vector<rows>& all) { return all[0].boolean(0, 0); }};
}

query<std::vector<int64_t>> fail_interrupted(tenant_id tenant, const std::vector<int64_t>& alive) {
  constexpr std::string_view text = "SELECT kg.fail_interrupted_actions($1)";
  return {{.tenant = tenant, .statements = {{text, {array_of(alive)}}}},
          [](std::vector<rows>& all) {
            std::vector<int64_t> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(all[0].integer(row, 0));
            return out;
          }};
}

query<due_tenants> due(uint32_t limit) {
  constexpr std::string_view text = "SELECT tenant, due_in FROM kg.due_agentese_tenants($1)";
  return {{.statements = {{text, {value(limit)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            due_tenants out;
            for (int row = 0; row < all[0].size(); ++row)
              if (all[0].is_null(row, 0))
                out.next_in = std::chrono::microseconds{all[0].integer(row, 1)};
              else
                out.tenants.push_back(id_at<tenant_id>(all[0], row, 0));
            return out;
          }};
}

}  // namespace agentese_schedule

}  // namespace kgents::sql
