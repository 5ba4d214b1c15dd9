#include "sql/cdc.hpp"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql::cdc {

namespace json = boost::json;

namespace {

constexpr std::array<std::string_view, 3> operation_names = {"INSERT", "UPDATE", "DELETE"};

operation operation_at(const rows& x, int row, int column) {
  const auto name = x.text(row, column);
  for (size_t i = 0; i < operation_names.size(); ++i)
    if (operation_names[i] == name)
      return static_cast<operation>(i);
  return operation::update;  // the table's own check allows no other
}

std::string array_of(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& x : texts) {
    begin_element(out);
    append_quoted(out, x);
  }
  return take_array(out);
}

param boolean(bool x) { return x ? "t" : "f"; }

param text_or_null(std::string_view x) { return x.empty() ? param{} : param{x}; }

param id_or_null(std::optional<int64_t> x) { return x ? value(*x) : param{}; }

int64_t parse_count(std::vector<rows>& all) { return all[0].integer(0, 0); }

json::value to_json(const result& x) {
  return json::object{{"id", x.id},
                      {"settled", x.settled},
                      {"published", x.published},
                      {"counted", x.counted},
                      {"wait_ms", x.wait ? json::value(x.wait->count()) : json::value{}},
                      {"error", x.error.empty() ? json::value{} : json::value(x.error)},
                      {"reason", x.reason.empty() ? json::value{} : json::value(x.reason)}};
}

}  // namespace

std::string_view to_string(operation x) noexcept { return operation_names[static_cast<size_t>(x)]; }

query<std::vector<change>> claim(const claim_options& x) {
  return {{.statements = {{"SELECT id, tenant_id, operation, table_name, row_id, payload, attempts,"
                           " settled, published, due, superseded, " KGENTS_SQL_TIME(
                               "created_at") " FROM kg.cdc_claim($1, $2, $3, $4, $5, $6)",
                           {x.owner.text(), boolean(x.index), boolean(x.relay), value(x.most),
                            value(x.bytes), value(x.time.count())}}}},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            std::vector<change> out;
            out.reserve(static_cast<size_t>(x.size()));
            for (int i = 0; i < x.size(); ++i)
              out.push_back({.id = x.integer(i, 0),
                             .tenant = id_at<tenant_id>(x, i, 1),
                             .what = operation_at(x, i, 2),
                             .table = string_at(x, i, 3),
                             .row = string_at(x, i, 4),
                             .payload = string_at(x, i, 5),
                             .attempts = count_at<uint32_t>(x, i, 6),
                             .settled = x.boolean(i, 7),
                             .published = x.boolean(i, 8),
                             .due = x.boolean(i, 9),
                             .superseded = x.boolean(i, 10),
                             .created_at = string_at(x, i, 11)});
            return out;
          }};
}

query<std::vector<std::chrono::duration<double, std::milli>>> finish(
    const uuid& owner, bool relay, const std::vector<result>& results) {
  json::array list;
  list.reserve(results.size());
  for (const auto& x : results)
    list.push_back(to_json(x));
  return {{.statements = {{"SELECT lag_ms FROM kg.cdc_finish($1, $2, $3)",
                           {owner.text(), boolean(relay), json::serialize(list)}}}},
          [](std::vector<rows>& all) {
            std::vector<std::chrono::duration<double, std::milli>> out;
            for (int i = 0; i < all[0].size(); ++i)
              out.emplace_back(std::stod(string_at(all[0], i, 0)));
            return out;
          }};
}

query<int64_t> expire(size_t most) {
  return {{.statements = {{"SELECT kg.cdc_expire($1)", {value(most)}}}}, parse_count};
}

query<stats> look() {
  return {{.statements = {{"SELECT pending, oldest_ms, dead, by_reason, by_table"
                           " FROM kg.cdc_stats()",
                           {}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            return stats{.pending = x.integer(0, 0),
                         .oldest_ms = std::stod(string_at(x, 0, 1)),
                         .dead = x.integer(0, 2),
                         .by_reason = string_at(x, 0, 3),
                         .by_table = string_at(x, 0, 4)};
          }};
}

query<std::vector<dead_letter>> dead_letters(int64_t before, std::string_view table,
                                             std::string_view reason, size_t most) {
  return {{.statements = {{"SELECT id, outbox_id, tenant_id, table_name, operation, row_id, target,"
                           " error, reason, retry_count, " KGENTS_SQL_TIME(
                               "failed_at") " FROM kg.cdc_dead_letters($1, $2, $3, $4)",
                           {before > 0 ? value(before) : param{}, text_or_null(table),
                            text_or_null(reason), value(most)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            std::vector<dead_letter> out;
            for (int i = 0; i < x.size(); ++i)
              out.push_back({.id = x.integer(i, 0),
                             .change = x.integer(i, 1),
                             .tenant = optional_id_at<tenant_id>(x, i, 2),
                             .table = string_at(x, i, 3),
                             .operation = string_at(x, i, 4),
                             .row = string_at(x, i, 5),
                             .target = string_at(x, i, 6),
                             .error = string_at(x, i, 7),
                             .reason = string_at(x, i, 8),
                             .retries = x.integer(i, 9),
                             .failed_at = string_at(x, i, 10)});
            return out;
          }};
}

query<int64_t> retry_dead_letters(std::optional<int64_t> id, size_t most) {
  return {
      {.statements = {{"SELECT kg.cdc_retry_dead_letters($1, $2)", {id_or_null(id), value(most)}}}},
      parse_count};
}

query<int64_t> drop_dead_letters(std::optional<int64_t> id, size_t most) {
  return {
      {.statements = {{"SELECT kg.cdc_drop_dead_letters($1, $2)", {id_or_null(id), value(most)}}}},
      parse_count};
}

query<nothing> request_rebuild(const std::vector<std::string>& tables) {
  return {{.statements = {{"SELECT kg.cdc_rebuild($1)", {array_of(tables)}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

query<std::vector<rebuild>> rebuilds() {
  return {{.statements = {{"SELECT table_name, run, phase, after_tenant, after_row, upserted,"
                           " swept, " KGENTS_SQL_TIME("requested_at") ", " KGENTS_SQL_TIME(
                               "finished_at") " FROM kg.cdc_rebuild_state()",
                           {}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            std::vector<rebuild> out;
            for (int i = 0; i < x.size(); ++i)
              out.push_back({.table = string_at(x, i, 0),
                             .run = x.id(i, 1),
                             .phase = string_at(x, i, 2),
                             .after_tenant = optional_id_at<tenant_id>(x, i, 3),
                             .after_row = x.optional_text(i, 4),
                             .upserted = x.integer(i, 5),
                             .swept = x.integer(i, 6),
                             .requested_at = string_at(x, i, 7),
                             .finished_at = x.optional_text(i, 8)});
            return out;
          }};
}

query<std::vector<change>> rebuild_page(const rebuild& at, size_t most, size_t bytes) {
  return {{.statements = {{"SELECT tenant_id, row_id, payload"
                           " FROM kg.cdc_rebuild_page($1, $2, $3, $4, $5)",
                           {at.table, value(at.after_tenant), at.after_row, value(most),
                            value(bytes)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            const auto& x = all[0];
            std::vector<change> out;
            for (int i = 0; i < x.size(); ++i) {
              auto& row = out.emplace_back();
              row.tenant = id_at<tenant_id>(x, i, 0);
              row.what = operation::update;
              row.row = string_at(x, i, 1);
              row.payload = string_at(x, i, 2);
            }
            return out;
          }};
}

query<nothing> rebuild_step(const rebuild& at, int64_t upserted, int64_t swept) {
  return {{.statements = {{"SELECT kg.cdc_rebuild_step($1, $2, $3, $4, $5, $6)",
                           {at.run.text(), at.phase, value(at.after_tenant), at.after_row,
                            value(upserted), value(swept)}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

query<std::vector<size_t>> rows_gone(std::string_view table, const std::vector<row_key>& keys) {
  std::vector<std::string> tenants;
  std::vector<std::string> ids;
  for (const auto& x : keys) {
    tenants.push_back(x.tenant.text());
    ids.push_back(x.row);
  }
  return {{.statements = {{"SELECT kg.cdc_rows_gone($1, $2, $3)",
                           {std::string{table}, array_of(tenants), array_of(ids)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<size_t> out;
            for (int i = 0; i < all[0].size(); ++i)
              out.push_back(static_cast<size_t>(all[0].integer(i, 0)) - 1);
            return out;
          }};
}

}  // namespace kgents::sql::cdc
