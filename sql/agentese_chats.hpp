#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

struct chat_line {
  uint64_t turn = 0;  ///< from 1
  std::string role;   ///< user, assistant
  std::string content;
};

/// A user's conversation with the soul: what is in the window, and a summary of what has left it.
struct chat {
  uint64_t turns = 0;
  std::string summary;
  std::vector<chat_line> lines;  ///< oldest first
};

struct chat_turn {
  std::string user;
  std::string assistant;
  std::string summary;     ///< with what leaves the window now
  uint64_t left_upto = 0;  ///< turns up to this one leave it; 0: none
};

/// self.soul.chat (migration 24). `who`: a user, or a key of the tenant itself.
namespace agentese_chats {

/// Empty when there is none.
[[nodiscard]] query<chat> get(tenant_id tenant, std::string_view who, size_t most_lines);

/// The number of turns afterwards.
[[nodiscard]] query<uint64_t> add(tenant_id tenant, std::string_view who, const chat_turn& turn);

}  // namespace agentese_chats

}  // namespace kgents::sql
