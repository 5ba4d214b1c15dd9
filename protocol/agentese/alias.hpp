#pragma once

// Aliases (agentese.md section 12): a first segment that stands for a node. Expanded once, before
// parsing.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/agentese/error.hpp"

namespace kgents::agentese {

/// Of one tenant, the standard ones included.
constexpr size_t max_aliases = 1000;
/// Bytes of a name.
constexpr size_t max_alias_bytes = 64;

/// A tenant's aliases. A value: not synchronised.
class alias_table {
public:
  using map = std::map<std::string, std::string, std::less<>>;

  /// Without any.
  alias_table() = default;

  /// me, brain, chaos, … of section 12.
  [[nodiscard]] static const alias_table& standard();

  /// Adds or replaces. What is wrong with the pair, if anything; the table is then as before.
  std::optional<error> set(std::string_view name, std::string_view target);

  /// ALIAS_NOT_FOUND if there is none of this name.
  std::optional<error> remove(std::string_view name);

  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] const map& entries() const noexcept { return entries_; }

  friend bool operator==(const alias_table&, const alias_table&) = default;

private:
  map entries_;
};

/// Whether the pair may be added to `existing`: RECURSIVE_ALIAS, ALIAS_SHADOW, SYNTAX_ERROR
/// (target), INVALID_ARGUMENT (name, number of aliases).
[[nodiscard]] std::optional<error> check_alias(std::string_view name, std::string_view target,
                                               const alias_table& existing);

/// The text with its first segment replaced, or nothing if that is no alias: nothing is copied
/// then.
[[nodiscard]] std::optional<std::string> expand_alias(std::string_view text,
                                                      const alias_table& table);

/// The same, always as a text.
[[nodiscard]] std::string expand(std::string_view text, const alias_table& table);

/// A line of the file that was skipped, and why.
struct skipped_alias {
  size_t line = 0;  ///< from 1
  std::string name;
  std::string reason;
};

/// Adds the entries of a YAML text `aliases:` + indented `name: target` lines to the table; bad
/// ones are skipped and named (at most 100 of them). Only this shape of YAML is understood.
std::vector<skipped_alias> load_aliases(std::string_view yaml, alias_table& into);

/// The YAML text: loading it into an empty table gives an equal one.
[[nodiscard]] std::string print_aliases(const alias_table& table);

}  // namespace kgents::agentese
