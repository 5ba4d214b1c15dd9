#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents {

/// A decision that a person is asked for.
using decision_id = strong_uuid<struct decision_tag>;

}  // namespace kgents

namespace kgents::sql {

struct decision {
  decision_id id;
  std::string reason;
  std::string prompt;
  std::string options;   ///< JSON array
  std::string severity;  ///< info, warning, critical
  std::optional<std::string> deadline{};
  std::optional<std::string> escalation{};
  std::string asked_by;
  std::optional<std::string> human_input{};  ///< JSON text
  std::string created_at;
  std::optional<std::string> resolved_at{};
  std::optional<std::string> cancelled_at{};
  std::optional<std::string> voided_at{};  ///< its deadline, once that has passed

  [[nodiscard]] std::string_view status() const noexcept {
    return resolved_at ? "resolved" : cancelled_at ? "cancelled" : voided_at ? "voided" : "pending";
  }
};

/// self.semaphore and world.purgatory (migration 24). Only what is pending changes; what has passed
/// its deadline is voided, whether or not `void_expired` has come by.
namespace agentese_tokens {

/// `deadline` is a text that PostgreSQL reads as a timestamptz. Drops what ended more than thirty
/// days ago.
[[nodiscard]] query<decision> create(tenant_id tenant, const decision& what);

[[nodiscard]] query<uint64_t> pending_count(tenant_id tenant);

[[nodiscard]] query<std::optional<decision>> get(tenant_id tenant, decision_id id);

/// Oldest first, at most `limit`.
[[nodiscard]] query<std::vector<decision>> list(tenant_id tenant, bool only_pending, size_t limit);

/// False: it is not pending (any more), or not there.
[[nodiscard]] query<bool> resolve(tenant_id tenant, decision_id id, std::string_view human_input);
[[nodiscard]] query<bool> cancel(tenant_id tenant, decision_id id);

/// Those whose deadline has passed, at most `limit`.
[[nodiscard]] query<std::vector<decision_id>> void_expired(tenant_id tenant, size_t limit);

}  // namespace agentese_tokens

}  // namespace kgents::sql
