#pragma once

// `?world.*`, `?*.*.manifest`, `?self.memory.?` (agentese.md section 11). Pure; matching takes time
// in proportion to pattern plus text, whatever the pattern.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/agentese/error.hpp"

namespace kgents::agentese {

constexpr size_t max_query_bytes = 512;
constexpr int64_t default_query_limit = 100;
constexpr int64_t max_query_limit = 1000;

struct query {
  /// Context, holon, aspect; the missing ones are "*". The aspect may be "?": which aspects are
  /// there.
  std::array<std::string, 3> parts{"*", "*", "*"};
  uint8_t given = 1;  ///< how many were written, 1 to 3

  /// Whether matches are aspects (node_type "aspect", path with the aspect) rather than nodes.
  [[nodiscard]] bool asks_aspects() const noexcept { return given == 3; }

  /// The pattern as written, with its `?`: parsing it gives an equal query.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const query&, const query&) = default;
};

/// The error is QUERY_SYNTAX. An unknown context is none: it matches nothing.
[[nodiscard]] std::variant<query, error> parse_query(std::string_view text);

/// Whether a glob with any number of stars matches the whole text; one larger than max_query_bytes
/// matches nothing.
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view text) noexcept;

/// Whether the query wants this node. The holon part is compared with all of the node path after
/// its context, so that `?world.*` has nodes of any depth; `?self.memory` has self.memory only.
[[nodiscard]] bool match(const query& q, std::string_view node) noexcept;

/// Whether it wants this aspect of this node; a query of fewer than three parts wants every aspect.
[[nodiscard]] bool match(const query& q, std::string_view node, std::string_view aspect) noexcept;

/// 0.001 × 1 for one node's aspects, 10 for one node, 50 for one context, 500 for all.
[[nodiscard]] double cost_estimate(const query& q) noexcept;

struct query_page {
  int64_t limit = default_query_limit;
  int64_t offset = 0;
};

/// limit < 1 is 1, offset < 0 is 0; limit > 1000 is QUERY_BOUND.
[[nodiscard]] std::variant<query_page, error> checked_page(int64_t limit, int64_t offset);

/// The builder's rule: the limit is clamped to 1…1000.
[[nodiscard]] query_page clamped_page(int64_t limit, int64_t offset) noexcept;

}  // namespace kgents::agentese
