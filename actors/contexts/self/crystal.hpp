#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

/// What of a working context is put aside, and how it comes back (self.memory.crystallize, resume).
/// Pure.
namespace kgents::actors::self_memory {

struct crystallized {
  boost::json::array preserved;  ///< oldest first
  uint32_t dropped = 0;
  std::string summary;  ///< of what was dropped: the beginning of each, in order
};

/// Turns that are kept whatever their age, beside those that say so.
constexpr size_t newest_turns = 10;
/// What a crystal holds at most, as JSON.
constexpr size_t most_window_bytes = 256 * 1024;
constexpr size_t most_summary_bytes = 4'000;

/// A window is a list of turns (texts, or objects like {role, content}), an object with such a list
/// as `turns` or `messages`, or one text. Kept are the newest turns, those of the system, and those
/// that ask for it (`preserve`, `pinned` or `resource_class: "preserved"`); of these, the newest
/// that fit.
[[nodiscard]] crystallized crystallize(const boost::json::value& window);

struct restored {
  boost::json::array window;  ///< the newest turns that fit, oldest first
  uint64_t tokens = 0;        ///< of them, estimated
  bool truncated = false;
};

/// Turns that ask to be preserved go in before the others.
[[nodiscard]] restored restore(const boost::json::array& preserved, uint64_t max_tokens);

/// About four bytes a token.
[[nodiscard]] uint64_t estimated_tokens(std::string_view text) noexcept;

/// A name under which something is stored: letters, digits, `_ . / -`, relative, without `..`.
[[nodiscard]] bool is_memory_key(std::string_view key) noexcept;

constexpr size_t most_key_bytes = 200;

/// What a value that came without a key may be called: what it calls itself, else by its content.
[[nodiscard]] std::string key_for(const boost::json::value& data);

}  // namespace kgents::actors::self_memory
