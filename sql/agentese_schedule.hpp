#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/agentese/invocation.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// Actions of a tenant that wait at once; what `defer` refuses beyond.
inline constexpr int64_t pending_actions_most = 10'000;
/// Of the actions that have ended, those with the newest so many numbers are kept.
inline constexpr int64_t ended_actions_kept = 10'000;
/// A larger result is not kept with its action; it is in the event of the invocation.
inline constexpr size_t action_result_bytes = 16 * 1024;

enum class action_status : uint8_t { pending, running, executed, failed, cancelled };

[[nodiscard]] std::string_view to_string(action_status x) noexcept;
[[nodiscard]] std::optional<action_status> parse_action_status(std::string_view name) noexcept;

/// What is to be invoked, and as whom. Capability tokens do not count later: `by.proven` is not
/// kept.
struct new_action {
  std::string path;
  std::string kwargs;  ///< a JSON object
  bool strict = true;
  agentese::observer who;
  agentese::caller by;
};

/// An action as it is listed. Times are text as they go out.
struct action_row {
  int64_t id = 0;
  std::string path;
  std::string scheduled_for;
  action_status status = action_status::pending;
  bool own = false;  ///< of the caller who asks
  std::string result;  ///< JSON; empty: none, or it was too large (`truncated`)
  bool truncated = false;
  std::string error;
  std::string ended_at;
};

struct action_page {
  std::vector<action_row> actions;  ///< the newest, oldest of them first
  int64_t total = 0;
};

/// An action that was taken to be run, once.
struct claimed_action {
  int64_t id = 0;
  new_action what;
  /// Not empty: its credential is good no more, so it must fail with this.
  std::string denied;
};

struct deferred_action {
  int64_t id = 0;
  std::string scheduled_for;
};

/// Whose actions are due.
struct due_tenants {
  std::vector<tenant_id> tenants;
  /// Until the next of the others; none: nothing else is pending.
  std::optional<std::chrono::microseconds> next_in;
};

/// The schedule of a tenant (migration 26). Written by the tenant's context `time` only, under its
/// lease; all for kg_app but `due`.
namespace agentese_schedule {

/// None: there are `pending_actions_most` already.
[[nodiscard]] query<std::optional<deferred_action>> defer_by(tenant_id tenant,
                                                             const new_action& what,
                                                             std::chrono::microseconds delay);
/// The past means now.
[[nodiscard]] query<std::optional<deferred_action>> defer_until(
    tenant_id tenant, const new_action& what, std::chrono::system_clock::time_point at);

[[nodiscard]] query<std::optional<action_status>> status_of(tenant_id tenant, int64_t id);

/// False when it is not pending.
[[nodiscard]] query<bool> cancel(tenant_id tenant, int64_t id);

[[nodiscard]] query<action_page> list(tenant_id tenant, std::optional<action_status> status,
                                      const agentese::caller& by, size_t limit);

/// What the context looks at before it writes.
struct work_left {
  std::optional<int64_t> due;  ///< the first, by time and number
  std::vector<int64_t> running;
  int64_t pending = 0;
};
[[nodiscard]] query<work_left> look(tenant_id tenant);

/// Takes one that is due: from the commit on it runs, and nobody runs it again.
[[nodiscard]] query<std::optional<claimed_action>> claim(tenant_id tenant, int64_t id,
                                                         const fence& lease);

/// `status`: executed or failed. `result` is JSON text.
[[nodiscard]] query<bool> end(tenant_id tenant, int64_t id, action_status status,
                              std::string_view result, std::string_view error);

/// Fails those that are said to run and are not among `alive`; returns them.
[[nodiscard]] query<std::vector<int64_t>> fail_interrupted(tenant_id tenant,
                                                           const std::vector<int64_t>& alive);

/// For kg_control. At most `limit` tenants.
[[nodiscard]] query<due_tenants> due(uint32_t limit);

}  // namespace agentese_schedule

}  // namespace kgents::sql
