#include "sql/silos.hpp"

#include "sql/columns.hpp"
#include "sql/migrate.hpp"

namespace kgents::sql::silos {

query<requested> request(tenant_id tenant, std::optional<std::string> dsn_ref,
                         std::optional<int64_t> purge_after_seconds) {
  return {{.statements = {{"SELECT outcome, tier FROM kg.request_silo($1, $2, $3)",
                           {value(tenant), std::move(dsn_ref),
                            purge_after_seconds ? value(*purge_after_seconds) : std::nullopt}}}},
          [](std::vector<rows>& all) {
            return requested{std::string{all[0].text(0, 0)}, std::string{all[0].text(0, 1)}};
          }};
}

query<std::string> cancel(tenant_id tenant) {
  return {{.statements = {{"SELECT kg.cancel_silo($1)", {value(tenant)}}}},
          [](std::vector<rows>& all) { return std::string{all[0].text(0, 0)}; }};
}

query<std::vector<silo>> show(std::optional<tenant_id> tenant) {
  return {{.statements = {{"SELECT tenant, slug, database, dsn_ref, state, reason, details,"
                           "       cancel_requested, attempts, purge_after_seconds, "
                           KGENTS_SQL_TIME("created_at") ", " KGENTS_SQL_TIME("updated_at") ", "
                           KGENTS_SQL_TIME("activated_at") ", " KGENTS_SQL_TIME("purge_at") ", "
                           KGENTS_SQL_TIME("purged_at") ", worked_on"
                           "  FROM kg.show_silos($1)",
                           {value(tenant)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<silo> out;
            const auto& x = all[0];
            for (int i = 0; i < x.size(); ++i)
              out.push_back({.tenant = id_at<tenant_id>(x, i, 0),
                             .slug = std::string{x.text(i, 1)},
                             .database = std::string{x.text(i, 2)},
                             .dsn_ref = std::string{x.text(i, 3)},
                             .state = std::string{x.text(i, 4)},
                             .reason = x.optional_text(i, 5),
                             .details = std::string{x.text(i, 6)},
                             .cancel_requested = x.boolean(i, 7),
                             .attempts = x.integer(i, 8),
                             .purge_after_seconds = x.integer(i, 9),
                             .created_at = std::string{x.text(i, 10)},
                             .updated_at = std::string{x.text(i, 11)},
                             .activated_at = x.optional_text(i, 12),
                             .purge_at = x.optional_text(i, 13),
                             .purged_at = x.optional_text(i, 14),
                             .worked_on = x.boolean(i, 15)});
            return out;
          }};
}

query<std::optional<tenant_id>> due() {
  return {{.statements = {{"SELECT kg.due_silo($1)", {std::string{latest_migration()}}}},
           .read_only = true},
          [](std::vector<rows>& all) -> std::optional<tenant_id> {
            if (all[0].empty() || all[0].is_null(0, 0))
              return std::nullopt;
            return id_at<tenant_id>(all[0], 0, 0);
          }};
}

query<int64_t> back_out_stale_moves(int64_t seconds) {
  return {{.statements = {{"SELECT kg.back_out_stale_moves($1)", {value(seconds)}}}},
          [](std::vector<rows>& all) { return all[0].integer(0, 0); }};
}

}  // namespace kgents::sql::silos
