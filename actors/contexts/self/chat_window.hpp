#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sql/agentese_chats.hpp"

/// What of a conversation a prompt carries (self.soul.chat). Pure.
namespace kgents::actors::self_soul {

constexpr uint64_t window_tokens = 16'000;
constexpr size_t summary_bytes = 4'000;

/// Where the window begins: of the lines, oldest first, those from there on fit together with
/// `reserved` tokens. It begins with a turn, never in the middle of one.
struct window {
  size_t first = 0;        ///< index of the first line inside
  uint64_t tokens = 0;     ///< of the lines inside, estimated
  uint64_t left_upto = 0;  ///< turns up to this one are outside; 0: none
};
[[nodiscard]] window window_of(std::span<const sql::chat_line> lines, uint64_t reserved);

/// The summary with the beginnings of what leaves the window; when it gets too long, its own
/// beginning goes.
[[nodiscard]] std::string summarised(std::string_view summary,
                                     std::span<const sql::chat_line> leaving);

/// 1 at the beginning, two hundredths less with each turn, never below 0.
[[nodiscard]] double entropy_after(uint64_t turns) noexcept;

}  // namespace kgents::actors::self_soul
