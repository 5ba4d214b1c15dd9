#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/agentese_event.hpp"
#include "sql/agentese_mark.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// The journal's insert (migration 22): marks of many tenants in one statement, for kg_control. The
/// result names the tenants whose log has grown and their newest seq.
class mark_batch {
public:
  void add(const agentese_mark& x);
  [[nodiscard]] size_t size() const noexcept { return size_; }

  /// The statement for what was added; the batch is empty again.
  [[nodiscard]] query<std::vector<std::pair<tenant_id, int64_t>>> take();

private:
  static constexpr size_t columns = 23;
  std::string arrays_[columns];  // in the order of the function's parameters
  size_t size_ = 0;
};

/// The ends of what is retained of a tenant's event log. Seqs have no holes, so
/// `last_seq - trimmed_seq` events are there.
struct agentese_log_ends {
  int64_t last_seq = 0;
  int64_t trimmed_seq = 0;  ///< this one and all before are no longer retained
};

/// Where a replay begins: with the event after `after`.
struct agentese_replay_start {
  agentese_log_ends log;
  int64_t after = 0;
  /// What was asked for goes further back than what is retained. An id that is not known counts as
  /// such.
  bool incomplete = false;
};

/// What `time.trace` looks for.
struct agentese_trace_filter {
  std::string substring{};  ///< in `path.aspect`, any case; empty: everything
  std::string path{};       ///< node path; empty: any
  std::optional<std::chrono::system_clock::time_point> from{};
  std::optional<std::chrono::system_clock::time_point> to{};
  bool changes = false;  ///< `changed` events too, not only invocations
  size_t limit = 100;    ///< the newest so many
};

struct agentese_trace_page {
  std::vector<agentese_event_ptr> events;  ///< newest last
  int64_t total = 0;                       ///< that fit, in what is retained
};

/// A tenant's event log. All for kg_app but `last_seqs` and `trim`.
namespace agentese_events {

[[nodiscard]] query<agentese_log_ends> ends(tenant_id tenant);

/// The events behind seq `after` in their order, at most `limit`.
[[nodiscard]] query<std::vector<agentese_event_ptr>> page(tenant_id tenant, int64_t after,
                                                          size_t limit);

/// The newest `limit` invocations and changes of a node, newest last: what `witness` shows.
[[nodiscard]] query<std::vector<agentese_event_ptr>> of_path(tenant_id tenant,
                                                             std::string_view node, size_t limit);

[[nodiscard]] query<agentese_trace_page> traces(tenant_id tenant,
                                                const agentese_trace_filter& filter);

/// Positions `from` to `to` (exclusive, from 0) among the retained invocations, at most `limit`, in
/// their order; `total` is how many there are.
[[nodiscard]] query<agentese_trace_page> trace_range(tenant_id tenant, int64_t from, int64_t to,
                                                     size_t limit);

/// Where to begin behind an event, at a time, behind a seq.
[[nodiscard]] query<agentese_replay_start> replay_behind(tenant_id tenant, const uuid& event);
[[nodiscard]] query<agentese_replay_start> replay_from(tenant_id tenant,
                                                       std::chrono::system_clock::time_point time);
[[nodiscard]] query<agentese_replay_start> replay_offset(tenant_id tenant, int64_t seq);

/// One `changed` event, as the last statement of the transaction that writes the change: it locks
/// the tenant's log until the commit. `data` is JSON text or empty.
[[nodiscard]] statement change_statement(std::string_view node, std::string_view data,
                                         std::string_view trace_id = {},
                                         std::string_view archetype = "system");

/// The newest seq of each of these tenants whose log has begun. For kg_control.
[[nodiscard]] query<std::vector<std::pair<tenant_id, int64_t>>> last_seqs(
    const std::vector<tenant_id>& tenants);

/// Drops at most `chunk` of the oldest events, those beyond the newest `keep` or older than `age`;
/// how many were dropped. For kg_control.
[[nodiscard]] query<int64_t> trim(tenant_id tenant, size_t keep, std::chrono::seconds age,
                                  size_t chunk);

}  // namespace agentese_events

}  // namespace kgents::sql
