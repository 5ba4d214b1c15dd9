#pragma once

// What an aspect does beyond answering (agentese.md section 9). Composing is associative and
// commutative; the empty value is its identity.

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::agentese {

/// Amounts are counted in millionths, because sums of binary fractions depend on their order.
using micro_amount = int64_t;
constexpr micro_amount micros_per_unit = 1'000'000;

struct effects {
  using resources = std::set<std::string, std::less<>>;
  using amounts = std::map<std::string, micro_amount, std::less<>>;

  resources reads;
  resources writes;
  resources deletes;
  resources calls;
  resources emits;
  amounts charges;  ///< 0: charged for, the amount depends on the call
  amounts earns;
  bool forces = false;
  bool audits = false;

  /// Adds one: `writes:memory`, `charges:tokens 500`, `charges:entropy 0.05`. Kinds are those of
  /// the members. False if the text is none; nothing is added then.
  bool add(std::string_view text);

  [[nodiscard]] bool empty() const noexcept;

  friend bool operator==(const effects&, const effects&) = default;
};

[[nodiscard]] std::optional<effects> parse_effects(std::span<const std::string_view> texts);
[[nodiscard]] inline std::optional<effects> parse_effect(std::string_view text) {
  return parse_effects(std::span{&text, 1});
}

/// Sums stop at the largest amount.
[[nodiscard]] effects compose(effects a, const effects& b);
[[nodiscard]] effects compose(std::span<const effects> all);

/// `R:write` for each resource that is written or deleted, sorted.
[[nodiscard]] effects::resources required_capabilities(const effects& x);

/// reads, writes, calls, charges and required_capabilities always, the others where there is
/// something to say.
[[nodiscard]] boost::json::object to_json(const effects& x);

/// As written in a declaration, sorted: {"calls:llm", "charges:tokens 500"}.
[[nodiscard]] std::vector<std::string> to_texts(const effects& x);

}  // namespace kgents::agentese
