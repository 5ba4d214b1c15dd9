#pragma once

// What a subscription listens to (agentese.md section 13), matched on node paths: `self.memory`
// itself, `x.*` one more segment, `x.**` one or more, `*` or `**` alone everything.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/agentese/error.hpp"

namespace kgents::agentese {

struct pattern {
  enum class kind : uint8_t { exact, children, descendants, everything };

  kind what = kind::everything;
  std::string prefix;        ///< the node, or what stands before `.*`; empty for everything
  bool double_star = false;  ///< everything was written `**`

  /// Parsing it gives an equal pattern.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const pattern&, const pattern&) = default;
};

/// The error is QUERY_SYNTAX and says what would be right. A prefix begins with a context.
[[nodiscard]] std::variant<pattern, error> parse_pattern(std::string_view text);

[[nodiscard]] bool matches(const pattern& p, std::string_view node) noexcept;

}  // namespace kgents::agentese
