#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

/// The outbox as its worker uses it: one query for each of migration 32's functions. Only on a pool
/// of the control role.
namespace kgents::sql::cdc {

enum class operation : uint8_t { insert, update, remove };

/// INSERT, UPDATE, DELETE.
[[nodiscard]] std::string_view to_string(operation x) noexcept;

/// A change of a row, claimed by a worker.
struct change {
  int64_t id = 0;    ///< of the outbox: later ones are newer
  tenant_id tenant;  ///< nil: of none
  operation what = operation::insert;
  std::string table;
  std::string row;      ///< its primary key, within the tenant
  std::string payload;  ///< a JSON object: the row as it is now, of a DELETE as it was
  uint32_t attempts = 0;  ///< at the index, which failed
  bool settled = false;     ///< its part in the index is over
  bool published = false;   ///< the bus has it
  bool due = true;          ///< its back-off is over
  bool superseded = false;  ///< a later change of the row is in the index already
  std::string created_at;
};

struct claim_options {
  uuid owner;  ///< one life of a worker
  bool index = false;  ///< changes that the index waits for
  bool relay = false;  ///< changes that the bus waits for
  size_t most = 0;
  size_t bytes = 0;  ///< of payload
  std::chrono::seconds time{};  ///< for which they are this owner's
};

/// Oldest first.
[[nodiscard]] query<std::vector<change>> claim(const claim_options& x);

/// What became of a change that was claimed.
struct result {
  int64_t id = 0;
  bool settled = false;
  bool published = false;
  bool counted = false;  ///< it was one of its attempts
  std::optional<std::chrono::milliseconds> wait;  ///< until the next
  std::string error;
  std::string_view reason;  ///< not empty: it is dead, for this reason (data.md 11.1)

  friend bool operator==(const result&, const result&) = default;
};

/// Acknowledges, backs off and dead-letters as one; what is another's by now is left alone.
/// `relay`: only what the bus has is processed. Gives, for all that is processed now, the time from
/// change to acknowledgement.
[[nodiscard]] query<std::vector<std::chrono::duration<double, std::milli>>> finish(
    const uuid& owner, bool relay, const std::vector<result>& results);

/// Deletes what is kept no longer, at most `most` of changes and of dead letters; how many.
[[nodiscard]] query<int64_t> expire(size_t most);

struct stats {
  int64_t pending = 0;  ///< stops counting at 100,000
  double oldest_ms = 0;
  int64_t dead = 0;
  std::string by_reason;  ///< JSON objects
  std::string by_table;
};
[[nodiscard]] query<stats> look();

struct dead_letter {
  int64_t id = 0;
  int64_t change = 0;
  std::optional<tenant_id> tenant;
  std::string table;
  std::string operation;
  std::string row;
  std::string target;
  std::string error;
  std::string reason;
  int64_t retries = 0;
  std::string failed_at;
};

/// Newest first, those with ids below `before` (0: all).
[[nodiscard]] query<std::vector<dead_letter>> dead_letters(int64_t before, std::string_view table,
                                                           std::string_view reason, size_t most);
/// One, or without an id the oldest `most`; how many.
[[nodiscard]] query<int64_t> retry_dead_letters(std::optional<int64_t> id, size_t most);
[[nodiscard]] query<int64_t> drop_dead_letters(std::optional<int64_t> id, size_t most);

/// Where the rebuild of a table's part of the index has come to.
struct rebuild {
  std::string table;
  uuid run;
  std::string phase;  ///< upsert, sweep, done
  std::optional<tenant_id> after_tenant;
  std::optional<std::string> after_row;
  int64_t upserted = 0;
  int64_t swept = 0;
  std::string requested_at;
  std::optional<std::string> finished_at;
};

[[nodiscard]] query<nothing> request_rebuild(const std::vector<std::string>& tables);
/// Those that are not done come first.
[[nodiscard]] query<std::vector<rebuild>> rebuilds();
/// The next page, as changes without an id.
[[nodiscard]] query<std::vector<change>> rebuild_page(const rebuild& at, size_t most, size_t bytes);
/// `at` as it is after a page, with the page's own counts; nothing when another run has begun.
[[nodiscard]] query<nothing> rebuild_step(const rebuild& at, int64_t upserted, int64_t swept);

struct row_key {
  tenant_id tenant;
  std::string row;
};
/// Which of them have no row, by place from 0.
[[nodiscard]] query<std::vector<size_t>> rows_gone(std::string_view table,
                                                   const std::vector<row_key>& keys);

}  // namespace kgents::sql::cdc
