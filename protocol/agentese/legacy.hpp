#pragma once

// Legacy modifiers (agentese.md section 1.2): clauses `[phase=PLAN]` and annotations `@span=x`
// after a core path. They never change which node or aspect is meant; what has none is a legacy
// text, too.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/agentese/path.hpp"

namespace kgents::agentese {

/// Clauses and annotations one text may have, more is an error.
constexpr size_t max_modifiers = 16;
/// A path of the largest size with its modifiers.
constexpr size_t max_legacy_bytes = 2048;

struct modifier {
  std::string name;
  /// Phases in capitals, flags `true`/`false`, entropy as written; nothing for a flag without a
  /// value.
  std::optional<std::string> value;

  friend bool operator==(const modifier&, const modifier&) = default;
};

struct legacy_path {
  owned_path core;
  std::vector<modifier> clauses;
  std::vector<modifier> annotations;

  [[nodiscard]] std::string base_path() const { return core.text(); }
  /// context.holon.
  [[nodiscard]] std::string node_path() const;
  /// The text printed again: parsing it gives an equal value.
  [[nodiscard]] std::string full_path() const;

  /// The L1 equivalents.
  [[nodiscard]] std::optional<std::string_view> phase() const;
  [[nodiscard]] std::optional<double> entropy() const;
  [[nodiscard]] std::optional<std::string_view> span() const;

  friend bool operator==(const legacy_path&, const legacy_path&) = default;
};

enum class strictness : uint8_t {
  strict,   ///< the first failure is reported
  lenient,  ///< modifiers nobody knows are dropped; the core and known modifiers still have to be
            ///< right
};

[[nodiscard]] std::variant<legacy_path, syntax_error> parse_legacy(
    std::string_view text, strictness mode = strictness::strict, needs what = needs::aspect);

/// Whether the text has a modifier at all: a caller on the fast path asks before it pays for
/// parse_legacy.
[[nodiscard]] inline bool has_modifiers(std::string_view text) noexcept {
  return text.find_first_of("[@") != std::string_view::npos;
}

}  // namespace kgents::agentese
