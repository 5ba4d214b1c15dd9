#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::persona {

/// What a soul starts from. Configurable: every list may be replaced, or be empty.
struct persona_seed {
  std::vector<std::string> values{};
  std::vector<std::string> dislikes{};
  std::vector<std::string> communication{};

  std::vector<std::string> thinking_patterns{};
  std::vector<std::string> decision_patterns{};
  std::vector<std::string> communication_patterns{};

  std::vector<std::string> interests{};
};

/// K's own seed (agentese.md 18.6).
[[nodiscard]] const persona_seed& default_seed();

/// The same as a shared pointer, for souls that hold their seed.
[[nodiscard]] std::shared_ptr<const persona_seed> shared_default_seed();

constexpr size_t max_references = 3;

/// What of the seed a message touches, at most `max_references` of each, in the seed's order.
struct references {
  std::vector<std::string> preferences;  ///< values as they are, dislikes as "avoiding …"
  std::vector<std::string> patterns;

  [[nodiscard]] bool empty() const noexcept { return preferences.empty() && patterns.empty(); }
  friend bool operator==(const references&, const references&) = default;
};

/// A value or a dislike matches when any of its words is a substring of the message, a pattern when
/// any of its first three words is; case does not matter. Words of fewer than three letters do not
/// count, or the "in" of "joy in creation" would find itself in nearly every message. Reads the
/// first `reading_window_bytes` of the message.
[[nodiscard]] references match(std::string_view message, const persona_seed& seed);

}  // namespace kgents::persona
