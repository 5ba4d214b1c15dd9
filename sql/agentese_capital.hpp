#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/agentese_amount.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

struct capital_event {
  std::string type;  ///< ISSUE and CREDIT add; DEBIT, BYPASS, DECAY and POTLATCH subtract
  nano_amount amount;
  std::string metadata;  ///< a JSON object
  std::string timestamp;
};

struct capital_written {
  bool done = false;    ///< false: the agent has less than the amount, and nothing was written
  nano_amount balance;  ///< after it
};

struct capital_token {
  enum class outcome : uint8_t { issued, insufficient, full } what = outcome::full;
  nano_amount balance;
  std::string expires_at;
};

struct redeemed_token {
  std::string agent;
  nano_amount cost;
  std::string expires_at;
};

/// Why a token does not let its bearer pass.
enum class token_state : uint8_t { valid, unknown, other_check, expired, used };

/// The ledger of a tenant's agents (agentese.md section 8.4): events only, balances are their sums.
/// What subtracts is checked and written under the agent's lock.
namespace agentese_capital {

inline constexpr nano_amount most{1'000'000'000};
inline constexpr uint32_t most_tokens = 1'000;  ///< of a tenant, valid and unused

[[nodiscard]] query<nano_amount> balance(tenant_id tenant, std::string_view agent);

/// The newest `limit`, newest last.
[[nodiscard]] query<std::vector<capital_event>> history(tenant_id tenant, std::string_view agent,
                                                        uint32_t limit);

/// Without an amount: one per cent of the balance. `metadata`: a JSON object.
[[nodiscard]] query<capital_written> append(tenant_id tenant, std::string_view agent,
                                            std::string_view type,
                                            std::optional<nano_amount> amount,
                                            std::string_view metadata);

/// Pays for a token that passes `check` once within `seconds`. Only its hash is stored.
[[nodiscard]] query<capital_token> bypass(tenant_id tenant, std::string_view agent,
                                          std::string_view check, nano_amount cost,
                                          uint32_t seconds, std::string_view token_hash);

[[nodiscard]] query<token_state> look_at_token(tenant_id tenant, std::string_view token_hash,
                                               std::string_view check);
/// None unless it was valid; then it is so no more.
[[nodiscard]] query<std::optional<redeemed_token>> redeem(tenant_id tenant,
                                                          std::string_view token_hash,
                                                          std::string_view check);

}  // namespace agentese_capital

}  // namespace kgents::sql
