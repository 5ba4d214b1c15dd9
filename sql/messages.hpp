#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

struct message_row {
  message_id id;
  session_id session;
  std::string role;  ///< user, assistant, system, tool
  std::string content;
  uint64_t tokens_used = 0;       ///< prompt plus output tokens
  std::optional<turn_id> turn{};  ///< the one that asked for it or answered with it
  std::string created_at;
};

struct message_page {
  bool session_exists =
      false;           ///< false: not there, removed or another tenant's; the rest is empty then
  uint64_t total = 0;  ///< before paging
  std::vector<message_row> messages;
};

/// A line of the conversation as a prompt needs it.
struct history_line {
  message_id id;
  std::string role;
  std::string content;
};

namespace messages {

/// Oldest first, in the order of writing.
[[nodiscard]] query<message_page> list(tenant_id tenant, session_id session, uint32_t limit,
                                       uint64_t offset);

/// The last `most` lines, oldest first, of the turns before `before`, or of all turns without it.
/// In the order of turns: a message that waited in the queue comes after the answer before it,
/// although it was written earlier.
[[nodiscard]] query<std::vector<history_line>> history(tenant_id tenant, session_id session,
                                                       std::optional<turn_id> before,
                                                       uint32_t most);

}  // namespace messages

}  // namespace kgents::sql
