#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"
#include "sql/usage.hpp"

namespace kgents::sql {

/// Where a session's history ends: its newest turn that has ended. A replay of it ends with the
/// final event (complete or error) of index `chunks`.
struct last_turn {
  turn_id turn;
  lease_epoch epoch = 0;
  chunk_index chunks = 0;
};

/// Times are text as they go out: `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.
struct session_row {
  session_id id;
  tenant_id tenant;
  std::optional<std::string> title;
  std::string agent_type;
  std::string status;  ///< active, archived, closed
  std::string mode;    ///< the current one; reflect unless another was set
  uint64_t message_count = 0;
  uint64_t tokens_used = 0;
  std::string created_at;
  std::optional<last_turn> last_ended{};  ///< filled by `get` only; none: no turn has ended yet
};

struct session_page {
  std::vector<session_row> sessions;
  uint64_t total = 0;  ///< before paging
};

struct new_session {
  session_id id;
  std::optional<std::string> title{};
  std::string agent_type =
      "kgent";  ///< kgent, agentese or custom; another value is `rejected` with 23514
  std::string mode = "reflect";
  std::optional<user_id> user{};
  std::optional<api_key_id> api_key{};  ///< for the usage event
  usage_id usage;  ///< of the event `session_create`, written in the same transaction
};

/// What to change. A title can be set to NULL, hence two levels.
struct session_change {
  std::optional<std::optional<std::string>> title{};
  std::optional<std::string> status{};  ///< active, archived or closed
};

namespace sessions {

[[nodiscard]] query<session_row> create(tenant_id tenant, const new_session& session);

/// None when it does not exist, is removed or belongs to another tenant.
[[nodiscard]] query<std::optional<session_row>> get(tenant_id tenant, session_id session);

/// Newest first.
[[nodiscard]] query<session_page> list(tenant_id tenant, uint32_t limit, uint64_t offset);

/// The session afterwards; none as for `get`.
[[nodiscard]] query<std::optional<session_row>> update(tenant_id tenant, session_id session,
                                                       const session_change& change);

/// Closes it and hides it from `get` and `list`. False when there was nothing to remove.
[[nodiscard]] query<bool> remove(tenant_id tenant, session_id session);

}  // namespace sessions

}  // namespace kgents::sql
