#include "sql/usage.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::usage {

statement record_statement(tenant_id tenant, const usage_event& event) {
  constexpr std::string_view text =
      "INSERT INTO kg.usage_events (id, tenant_id, event_type, source, tokens_in, tokens_out, "
      "storage_bytes, compute_ms, session_id, api_key_id, agentese_path, model, endpoint, method, "
      "status_code) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
      "ON CONFLICT DO NOTHING RETURNING 1";
  return {
      text,
      {value(event.id), value(tenant), event.type, event.source, value(event.tokens_in),
       value(event.tokens_out), value(event.storage_bytes), value(event.compute_ms),
       value(event.session), value(event.api_key), event.agentese_path, event.model, event.endpoint,
       event.method, event.status_code ? value(*event.status_code) : std::nullopt}};
}

query<bool> record(tenant_id tenant, const usage_event& event) {
  return {{.tenant = tenant, .statements = {record_statement(tenant, event)}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

query<usage_summary> summary(tenant_id tenant, std::string_view period) {
  constexpr std::string_view text =
      "SELECT total_tokens_in, total_tokens_out, total_storage_bytes, total_compute_ms, "
      "event_count FROM kg.get_tenant_usage($1, $2)";
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{text, {value(tenant), std::string{period}}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            return usage_summary{.tokens_in = count_at<uint64_t>(x, 0, 0),
                                 .tokens_out = count_at<uint64_t>(x, 0, 1),
                                 .storage_bytes = count_at<uint64_t>(x, 0, 2),
                                 .compute_ms = count_at<uint64_t>(x, 0, 3),
                                 .events = count_at<uint64_t>(x, 0, 4)};
          }};
}

}  // namespace kgents::sql::usage
