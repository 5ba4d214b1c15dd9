#include "sql/agentese_tokens.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_tokens {

namespace {

#define KGENTS_SQL_PENDING                                              \
  "resolved_at IS NULL AND cancelled_at IS NULL AND voided_at IS NULL " \
  "AND (deadline IS NULL OR deadline > now())"

#define KGENTS_SQL_DECISION \
  "token_id, reason, prompt, options::text, severity, " KGENTS_SQL_TIME("deadline")     \
  ", escalation, asked_by, human_input::text, " KGENTS_SQL_TIME("created_at") ", "      \
  KGENTS_SQL_TIME("resolved_at") ", " KGENTS_SQL_TIME("cancelled_at") ", "              \
  KGENTS_SQL_TIME("CASE WHEN voided_at IS NULL AND resolved_at IS NULL AND "            \
                  "cancelled_at IS NULL AND deadline <= now() THEN deadline "           \
                  "ELSE voided_at END")

decision decision_at(const rows& x, int row) {
  return {.id = id_at<decision_id>(x, row, 0),
          .reason = string_at(x, row, 1),
          .prompt = string_at(x, row, 2),
          .options = string_at(x, row, 3),
          .severity = string_at(x, row, 4),
          .deadline = x.optional_text(row, 5),
          .escalation = x.optional_text(row, 6),
          .asked_by = string_at(x, row, 7),
          .human_input = x.optional_text(row, 8),
          .created_at = string_at(x, row, 9),
          .resolved_at = x.optional_text(row, 10),
          .cancelled_at = x.optional_text(row, 11),
          .voided_at = x.optional_text(row, 12)};
}

bool any_row(std::vector<rows>& all) { return !all[0].empty(); }

}  // namespace

query<decision> create(tenant_id tenant, const decision& what) {
  constexpr std::string_view text =
      "INSERT INTO kg.agentese_tokens (tenant_id, token_id, reason, prompt, options, severity, "
      "deadline, escalation, asked_by) VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7::timestamptz, $8, "
      "$9) RETURNING " KGENTS_SQL_DECISION;
  constexpr std::string_view forget =
      "DELETE FROM kg.agentese_tokens WHERE created_at < now() - interval '30 days' AND "
      "coalesce(resolved_at, cancelled_at, voided_at, deadline) < now() - interval '30 days'";
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(tenant), value(what.id), what.reason, what.prompt, what.options,
                            what.severity, what.deadline, what.escalation, what.asked_by}},
                          {forget}}},
          [](std::vector<rows>& all) { return decision_at(all[0], 0); }};
}

query<uint64_t> pending_count(tenant_id tenant) {
  constexpr std::string_view text =
      "SELECT count(*) FROM kg.agentese_tokens WHERE " KGENTS_SQL_PENDING;
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

query<std::optional<decision>> get(tenant_id tenant, decision_id id) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_DECISION " FROM kg.agentese_tokens WHERE token_id = $1";
  return {{.tenant = tenant, .statements = {{text, {value(id)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : std::optional{decision_at(all[0], 0)};
          }};
}

query<std::vector<decision>> list(tenant_id tenant, bool only_pending, size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_DECISION
      " FROM kg.agentese_tokens WHERE NOT $1::boolean OR (" KGENTS_SQL_PENDING
      ") ORDER BY created_at, token_id LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {only_pending ? "t" : "f", value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<decision> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(decision_at(all[0], row));
            return out;
          }};
}

query<bool> resolve(tenant_id tenant, decision_id id, std::string_view human_input) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_tokens SET resolved_at = now(), human_input = $2::jsonb "
      "WHERE token_id = $1 AND " KGENTS_SQL_PENDING " RETURNING 1";
  return {{.tenant = tenant, .statements = {{text, {value(id), std::string{human_input}}}}},
          any_row};
}

query<bool> cancel(tenant_id tenant, decision_id id) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_tokens SET cancelled_at = now() "
      "WHERE token_id = $1 AND " KGENTS_SQL_PENDING " RETURNING 1";
  return {{.tenant = tenant, .statements = {{text, {value(id)}}}}, any_row};
}

query<std::vector<decision_id>> void_expired(tenant_id tenant, size_t limit) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_tokens SET voided_at = deadline WHERE token_id IN (SELECT token_id FROM "
      "kg.agentese_tokens WHERE resolved_at IS NULL AND cancelled_at IS NULL AND voided_at IS NULL "
      "AND deadline <= now() ORDER BY deadline LIMIT $1) RETURNING token_id";
  return {{.tenant = tenant, .statements = {{text, {value(limit)}}}}, [](std::vector<rows>& all) {
            std::vector<decision_id> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(id_at<decision_id>(all[0], row, 0));
            return out;
          }};
}

}  // namespace kgents::sql::agentese_tokens
