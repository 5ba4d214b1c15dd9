#pragma once

#include <functional>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/silo_session.hpp"

/// A tenant's rows on their way from the shared database into its silo.
namespace kgents::sql {

/// A line of kg.tenant_tables().
struct tenant_table {
  std::string name;
  std::string handling;  ///< kept, copied or moved
  std::vector<std::string> columns;
  std::vector<std::string> compared;
  std::string condition;
};

/// Parents before the tables that refer to them.
[[nodiscard]] std::vector<tenant_table> tenant_tables(silo_session& shared);

/// What a tenant has in a table: how many rows, and a sum over a digest of each, which does not
/// depend on their order.
struct table_content {
  std::string table;
  int64_t rows = 0;
  std::string checksum;

  friend bool operator==(const table_content&, const table_content&) = default;
};

/// Only what is the same in both databases goes in; as a role that RLS does not bind.
[[nodiscard]] table_content content_of(silo_session& at, const tenant_table& table,
                                       tenant_id tenant);

struct copy_report {
  std::vector<table_content> tables;
  int64_t rows = 0;
  int64_t last_outbox = 0;  ///< the greatest id, of both databases
};

/// Called before each table with the rows copied so far. May throw to give up.
using copy_progress = std::function<void(const std::string& table, int64_t rows)>;

/// Fills the silo with the tenant's rows, whatever an earlier attempt has left there, compares every
/// table and commits; throws when anything differs. The tenant must not be able to write meanwhile.
/// One snapshot of `shared`, one transaction of `silo`; memory does not grow with the rows.
[[nodiscard]] copy_report copy_tenant(silo_session& shared, silo_session& silo, tenant_id tenant,
                                      const copy_progress& progress);

/// Notes whose silo this is. Throws when it is another tenant's, or no silo but a database in use.
void mark_silo(silo_session& silo, tenant_id tenant);

/// Deletes rows of the tenant from `table`; true when there may be more. The outbox does not tell
/// of it: to those who follow it nothing was deleted.
[[nodiscard]] bool purge_some(silo_session& shared, const tenant_table& table, tenant_id tenant);

}  // namespace kgents::sql
