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

/// One move of a pool. Times as they go out.
struct entropy_move {
  std::string action;  ///< sip, pour, tithe, charge, refund, or what drew
  nano_amount amount;
  std::optional<double> seed;
  nano_amount remaining;  ///< after it
  std::string timestamp;
};

struct entropy_state {
  nano_amount remaining;
  uint64_t moves = 0;  ///< ever
};

/// What came of changing a pool.
struct entropy_change {
  bool done = false;    ///< false: less remains than was asked for, and nothing was changed
  nano_amount changed;  ///< without its sign
  nano_amount remaining;
};

struct entropy_poured {
  nano_amount returned;
  nano_amount recovered;
  nano_amount remaining;
};

/// The pools of entropy of a tenant (agentese.md section 8.4). Each change is atomic under its
/// pool's lock: any number of callers end exactly right.
namespace agentese_entropy {

inline constexpr nano_amount cap{100'000'000'000};       ///< and what a pool begins with
inline constexpr nano_amount regeneration{100'000'000};  ///< of a tithe
inline constexpr std::string_view tenant_pool{};         ///< the name of the tenant's own pool

/// The newest moves that are kept; the rest is counted only.
inline constexpr uint32_t kept_moves = 1'000;
/// Charges that can still be refunded are among the newest so many.
inline constexpr uint32_t kept_charges = 10'000;

[[nodiscard]] query<entropy_state> state(tenant_id tenant, std::string_view pool);

/// The newest `limit`, newest last.
[[nodiscard]] query<std::vector<entropy_move>> history(tenant_id tenant, std::string_view pool,
                                                       uint32_t limit);

/// Takes an amount. `grant`: a name under which it may be poured back once.
[[nodiscard]] query<entropy_change> draw(tenant_id tenant, std::string_view pool,
                                         std::string_view action, nano_amount amount,
                                         std::optional<double> seed,
                                         std::optional<uuid> grant = std::nullopt);

/// Adds a tithe's regeneration, up to the cap.
[[nodiscard]] query<entropy_change> tithe(tenant_id tenant, std::string_view pool,
                                          std::string_view action);

/// Recovers half of an amount, up to the cap.
[[nodiscard]] query<entropy_poured> pour(tenant_id tenant, std::string_view pool,
                                         nano_amount amount);

/// Whether a draw's name has not been used. None: unknown, used, or no longer kept.
[[nodiscard]] query<std::optional<nano_amount>> unused(tenant_id tenant, std::string_view pool,
                                                       const uuid& grant);
/// As `pour`, of what was drawn under that name; none as for `unused`.
[[nodiscard]] query<std::optional<entropy_poured>> pour_grant(tenant_id tenant,
                                                              std::string_view pool,
                                                              const uuid& grant);

/// Takes an amount once under a name, however often it is asked.
[[nodiscard]] query<entropy_change> charge(tenant_id tenant, std::string_view pool,
                                           std::string_view name, nano_amount amount);
/// What is charged under a name and not yet refunded.
[[nodiscard]] query<std::optional<nano_amount>> charged(tenant_id tenant, std::string_view name);
/// Gives a charge back, once; `done` is false when there is none (any more).
[[nodiscard]] query<entropy_change> refund(tenant_id tenant, std::string_view pool,
                                           std::string_view name);

}  // namespace agentese_entropy

}  // namespace kgents::sql
