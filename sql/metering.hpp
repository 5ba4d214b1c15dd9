#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sql/query.hpp"
#include "sql/usage.hpp"

/// What leaves the database to be billed. Only on a pool of the control role.
namespace kgents::sql {

/// A row of usage_events on its way out, with what its events tell beside it.
struct usage_record {
  usage_id id;
  tenant_id tenant;
  std::string type;
  std::string source;
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
  uint64_t storage_bytes = 0;
  uint32_t compute_ms = 0;
  uint32_t quantity = 1;  ///< equal requests that the row stands for
  std::optional<session_id> session{};
  std::optional<std::string> agentese_path{};
  std::optional<std::string> model{};
  std::optional<std::string> endpoint{};
  std::optional<std::string> method{};
  std::optional<uint16_t> status_code{};
  std::string time;                         ///< RFC 3339
  std::optional<std::string> agent_type{};  ///< of the session that was created, while it exists
  /// Characters of the message that was accepted or produced, while it exists.
  std::optional<uint32_t> message_length{};
};

/// One of Stripe's events in the form in which it is billed.
struct billing_record {
  std::string id;  ///< `stripe:evt_…` or `substart:sub_…`
  std::optional<tenant_id> tenant;
  std::string type;
  std::string subject;
  std::string time;  ///< RFC 3339
  std::string data;  ///< a JSON object
};

struct metering_batch {
  std::vector<usage_record> usage;
  std::vector<billing_record> billing;
};

/// An event that the provider refuses.
struct refused_event {
  std::string_view source;
  std::string id;
  std::optional<tenant_id> tenant;
  std::string record;  ///< the row it was made from
  std::string reason;
  std::string body;  ///< the event, JSON
};

/// What became of a batch: rows that have left (or never will), and rows tried in vain.
struct metering_outcome {
  std::vector<std::string> usage, billing;
  std::vector<std::string> failed_usage, failed_billing;
  std::vector<refused_event> refused;
};

struct metering_backlog {
  std::chrono::duration<double> age{};  ///< of the oldest; 0: there is none
  uint64_t pending = 0;
};

/// A row for the bus.
struct relayed_record {
  std::string id;
  std::string xact;  ///< with the id: its place in the order
  std::string type;
  std::string body;  ///< a JSON object
};

struct tenant_total {
  tenant_id tenant;
  uint64_t tokens = 0;
};

/// A tenant whose counter of the month is not the sum of its usage.
struct counter_drift {
  tenant_id tenant;
  int64_t counted = 0;
  int64_t recorded = 0;
};

namespace metering {

/// At most `most` of each kind, the oldest first.
[[nodiscard]] query<metering_batch> unexported(size_t most);
/// One transaction; it may be repeated.
[[nodiscard]] query<nothing> settle(const metering_outcome& what);
/// `pending` is counted up to `most` of each kind.
[[nodiscard]] query<metering_backlog> backlog(size_t most);

/// What the bus was not told of yet: of `usage` or else of `billing`. Of one reader at a time.
[[nodiscard]] query<std::vector<relayed_record>> unrelayed(bool usage, size_t most);
[[nodiscard]] query<nothing> relayed(bool usage, const relayed_record& last);

/// Tokens by tenant that were exported, of rows from `from` until before `to` (RFC 3339).
[[nodiscard]] query<std::vector<tenant_total>> totals(std::string_view from, std::string_view to,
                                                      size_t most);
/// `period`: YYYY-MM. The worst first.
[[nodiscard]] query<std::vector<counter_drift>> drift(std::string_view period, size_t most);

}  // namespace metering

}  // namespace kgents::sql
