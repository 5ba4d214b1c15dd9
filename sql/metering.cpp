#include "sql/metering.hpp"

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql::metering {

namespace {

template <class T>
std::optional<T> optional_count_at(const rows& x, int row, int column) {
  return x.is_null(row, column) ? std::nullopt : std::optional{count_at<T>(x, row, column)};
}

usage_record usage_at(const rows& x, int row) {
  usage_record out;
  out.id = id_at<usage_id>(x, row, 0);
  out.tenant = id_at<tenant_id>(x, row, 1);
  out.type = string_at(x, row, 2);
  out.source = string_at(x, row, 3);
  out.tokens_in = count_at<uint32_t>(x, row, 4);
  out.tokens_out = count_at<uint32_t>(x, row, 5);
  out.storage_bytes = count_at<uint64_t>(x, row, 6);
  out.compute_ms = count_at<uint32_t>(x, row, 7);
  out.quantity = count_at<uint32_t>(x, row, 8);
  out.session = optional_id_at<session_id>(x, row, 9);
  out.agentese_path = x.optional_text(row, 10);
  out.model = x.optional_text(row, 11);
  out.endpoint = x.optional_text(row, 12);
  out.method = x.optional_text(row, 13);
  out.status_code = optional_count_at<uint16_t>(x, row, 14);
  out.time = string_at(x, row, 15);
  out.agent_type = x.optional_text(row, 16);
  out.message_length = optional_count_at<uint32_t>(x, row, 17);
  return out;
}

std::string array_of(const std::vector<std::string>& texts) {
  std::string array;
  for (const auto& text : texts) {
    begin_element(array);
    append_quoted(array, text);
  }
  return take_array(array);
}

metering_batch parse_batch(std::vector<rows>& all) {
  metering_batch out;
  for (int row = 0; row < all[0].size(); ++row)
    out.usage.push_back(usage_at(all[0], row));
  const auto& x = all[1];
  for (int row = 0; row < x.size(); ++row)
    out.billing.push_back({string_at(x, row, 0), optional_id_at<tenant_id>(x, row, 1),
                           string_at(x, row, 2), string_at(x, row, 3), string_at(x, row, 4),
                           string_at(x, row, 5)});
  return out;
}

nothing parse_nothing(std::vector<rows>&) { return {}; }

std::vector<relayed_record> parse_relayed(std::vector<rows>& all) {
  std::vector<relayed_record> out;
  for (int row = 0; row < all[0].size(); ++row)
    out.push_back({string_at(all[0], row, 0), string_at(all[0], row, 1), string_at(all[0], row, 2),
                   string_at(all[0], row, 3)});
  return out;
}

}  // namespace

query<metering_batch> unexported(size_t most) {
  constexpr std::string_view usage =
      "SELECT id, tenant_id, event_type, source, tokens_in, tokens_out, storage_bytes, compute_ms, "
      "quantity, session_id, agentese_path, model, endpoint, method, status_code, " KGENTS_SQL_TIME(
          "created_at") ", agent_type, message_length FROM kg.metering_usage($1)";
  constexpr std::string_view billing =
      "SELECT id, tenant_id, type, subject, " KGENTS_SQL_TIME(
          "time") ", data FROM kg.metering_billing($1)";
  return {{.statements = {{usage, {value(most)}}, {billing, {value(most)}}}, .read_only = true},
          parse_batch};
}

query<nothing> settle(const metering_outcome& what) {
  query<nothing> out{{}, parse_nothing};
  for (const auto& x : what.refused)
    out.work.statements.push_back({"SELECT kg.metering_refuse($1, $2, $3, $4, $5, $6)",
                                   {std::string{x.source}, x.id, value(x.tenant), x.record,
                                    x.reason, x.body}});
  out.work.statements.push_back({"SELECT kg.metering_settle($1, $2, $3, $4)",
                                 {array_of(what.usage), array_of(what.billing),
                                  array_of(what.failed_usage), array_of(what.failed_billing)}});
  return out;
}

query<metering_backlog> backlog(size_t most) {
  return {{.statements = {{"SELECT (age_seconds * 1000)::bigint, pending "
                           "FROM kg.metering_backlog($1)",
                           {value(most)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            return metering_backlog{std::chrono::milliseconds{all[0].integer(0, 0)},
                                    count_at<uint64_t>(all[0], 0, 1)};
          }};
}

query<std::vector<relayed_record>> unrelayed(bool usage, size_t most) {
  constexpr std::string_view of_usage =
      "SELECT id, xact, event_type, body FROM kg.metering_relay_usage($1)";
  constexpr std::string_view of_billing =
      "SELECT id, xact, event_type, body FROM kg.metering_relay_billing($1)";
  return {{.statements = {{usage ? of_usage : of_billing, {value(most)}}}}, parse_relayed};
}

query<nothing> relayed(bool usage, const relayed_record& last) {
  return {{.statements = {{"SELECT kg.metering_relayed($1, $2, $3)",
                           {std::string{usage ? "usage" : "billing"}, last.xact, last.id}}}},
          parse_nothing};
}

query<std::vector<tenant_total>> totals(std::string_view from, std::string_view to, size_t most) {
  return {{.statements = {{"SELECT tenant_id, tokens FROM kg.metering_totals($1, $2, $3)",
                           {std::string{from}, std::string{to}, value(most)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<tenant_total> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({id_at<tenant_id>(all[0], row, 0), count_at<uint64_t>(all[0], row, 1)});
            return out;
          }};
}

query<std::vector<counter_drift>> drift(std::string_view period, size_t most) {
  return {{.statements = {{"SELECT tenant_id, counted, recorded FROM kg.metering_drift($1, $2)",
                           {std::string{period}, value(most)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<counter_drift> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({id_at<tenant_id>(all[0], row, 0), all[0].integer(row, 1),
                             all[0].integer(row, 2)});
            return out;
          }};
}

}  // namespace kgents::sql::metering
