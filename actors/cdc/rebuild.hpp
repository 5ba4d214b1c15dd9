#pragma once

#include <string>
#include <vector>

#include "actors/cdc/index.hpp"
#include "sql/pool.hpp"

namespace kgents::cdc {

/// Makes the index anew from PostgreSQL, a page a call, while changes go on being applied between
/// the calls: a page holds rows as they are now, and what changes after is in the outbox. At last
/// it takes away points that have no row. Where it has come to is in the database, so another node
/// may go on.
class rebuilder {
public:
  rebuilder(runtime::io_thread& thread, sql::pool& control, vector_index& index)
      : thread_{thread}, control_{control}, index_{index} {}

  /// Rows in one page, and their bytes; points in one page of the sweep.
  static constexpr size_t page_rows = 64;
  static constexpr size_t page_bytes = 4 * 1024 * 1024;
  static constexpr size_t page_points = 256;

  /// Whether there was anything to do. What fails is tried again with the next call, but for rows
  /// that the index refuses: they are left out.
  [[nodiscard]] task<bool> step();

private:
  [[nodiscard]] task<bool> upsert(sql::cdc::rebuild at);
  [[nodiscard]] task<bool> sweep(sql::cdc::rebuild at);
  [[nodiscard]] task<bool> apply(const std::string& table, const std::vector<change>& page);
  [[nodiscard]] task<bool> moved(sql::cdc::rebuild to, size_t upserted, size_t swept);

  runtime::io_thread& thread_;
  sql::pool& control_;
  vector_index& index_;
};

}  // namespace kgents::cdc
