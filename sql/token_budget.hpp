#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "protocol/ids.hpp"
#include "sql/query.hpp"
#include "sql/usage.hpp"

namespace kgents::sql {

/// What something may cost before it begins: the prompt's tokens and its longest answer's.
struct token_need {
  uint64_t most = 0;   ///< 0: it costs nothing, and begins whatever is left
  uint64_t least = 0;  ///< with less than this it does not begin; between the two its answer is made
                       ///< to fit
};

/// Where a budget of tokens stood when it did not hold what was needed.
struct token_budget {
  uint64_t allowed = 0;
  uint64_t used = 0;
  uint64_t held = 0;  ///< back for what is under way
};

struct held_tokens {
  enum class kind : uint8_t {
    unlimited,  ///< nothing is held, and there is no limit at all
    held,       ///< `tokens` may be used
    exhausted,  ///< the month's tokens are used up or held back: see `budget`
    oversized,  ///< it needs more than the key may use at once: `budget.allowed`
  };
  kind what = kind::unlimited;
  uint64_t tokens = 0;
  token_budget budget{};
};

namespace tokens {

/// Holds back tokens of the monthly budget that the key's come from (its own, else the tenant's),
/// for what is no turn: turns do so when they begin. Used and held together never exceed the budget,
/// however many ask at once. They are held until the usage event with that id is written, or for
/// `at_most`: whoever held them is lost then.
[[nodiscard]] query<held_tokens> hold(tenant_id tenant, usage_id id,
                                      std::optional<api_key_id> key, const token_need& need,
                                      std::chrono::seconds at_most);

/// What it came to. It is held for `at_most` longer, for its usage event comes later and under
/// another id. 0: nothing was used.
[[nodiscard]] query<nothing> keep(tenant_id tenant, usage_id id, uint64_t tokens,
                                  std::chrono::seconds at_most);

}  // namespace tokens

}  // namespace kgents::sql
