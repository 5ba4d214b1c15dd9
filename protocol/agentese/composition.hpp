#pragma once

// `a >> b >> c` and `node.pipe(a, b)` (agentese.md sections 1.1 and 10). A composition is its flat
// list of stages, hence associative by construction.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/agentese/alias.hpp"
#include "protocol/agentese/path.hpp"

namespace kgents::agentese {

/// Stages of one composition or pipeline. Each may hold an actor for its deadline, so the number is
/// bounded.
constexpr size_t max_stages = 64;
/// A composition or pipeline as one text.
constexpr size_t max_composition_bytes = 16 * 1024;

inline constexpr std::string_view identity_name = "Id";

/// A path with an aspect, or `Id`.
struct stage {
  std::optional<owned_path> at;  ///< nothing: Id

  [[nodiscard]] bool is_identity() const noexcept { return !at; }
  [[nodiscard]] std::string_view text() const noexcept {
    return at ? std::string_view{at->text()} : identity_name;
  }

  friend bool operator==(const stage&, const stage&) = default;
};

struct composition {
  std::vector<stage> stages;

  /// Its name: the stages joined by " >> ". Parsing it gives an equal composition.
  [[nodiscard]] std::string text() const;

  /// Without Id. Empty: returns its input.
  [[nodiscard]] composition flattened() const;

  friend bool operator==(const composition&, const composition&) = default;
};

/// f and then g.
[[nodiscard]] composition operator>>(composition f, const composition& g);

/// A stage that is no path; `position` in the error is a byte offset in the stage's text as it was
/// given (for the one-text form: in the whole text).
struct composition_error {
  size_t stage = 0;  ///< from 0
  std::string text;  ///< of the stage as it was given
  syntax_error why;
};

/// Each stage's alias is expanded first, if a table is given. White space around `>>` may be
/// missing.
[[nodiscard]] std::variant<composition, composition_error> parse_composition(
    std::string_view text, const alias_table* aliases = nullptr);

[[nodiscard]] std::variant<composition, composition_error> parse_composition(
    std::span<const std::string> paths, const alias_table* aliases = nullptr);

/// Aspects of one node, run in order.
struct pipeline {
  std::string node;
  std::vector<std::string> aspects;  ///< empty only if made by hand: the text form has at least one

  [[nodiscard]] std::string text() const;

  friend bool operator==(const pipeline&, const pipeline&) = default;
};

/// `world.house.pipe(a, b)`; white space may stand around each aspect.
[[nodiscard]] std::variant<pipeline, syntax_error> parse_pipeline(
    std::string_view text, const alias_table* aliases = nullptr);

/// Whether the text is written as a composition or as a pipeline rather than as one path.
[[nodiscard]] bool looks_like_composition(std::string_view text) noexcept;
[[nodiscard]] bool looks_like_pipeline(std::string_view text) noexcept;

}  // namespace kgents::agentese
