#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/agentese_amount.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// The metabolism of a tenant as it was left at `settled_to`. Times are seconds since 1970.
struct metabolism {
  double pressure = 0;
  bool in_fever = false;
  double intensity = 0;  ///< of the last fever
  uint64_t fevers = 0;
  double settled_to = 0;  ///< usage up to then is in the pressure
};

struct tokens_of_second {
  int64_t second = 0;
  uint64_t tokens_in = 0;
  uint64_t tokens_out = 0;
};

struct metabolism_view {
  metabolism state;
  std::vector<tokens_of_second> since;  ///< what was used after `settled_to`, oldest first
  uint64_t tokens_in = 0;               ///< in the whole window, settled or not
  uint64_t tokens_out = 0;
  double now = 0;  ///< by the database's clock, which usage is timed by
};

/// What `settle` drew from the pool of entropy.
struct metabolism_settled {
  nano_amount drawn;
  std::optional<nano_amount> remaining;  ///< of the pool, where something was to be drawn
};

namespace agentese_metabolism {

/// Usage is looked at for `window` back, not further.
[[nodiscard]] query<metabolism_view> view(tenant_id tenant, std::chrono::seconds window);

/// Keeps a state. `draws`: each taken from the tenant's pool in the same transaction, if that much
/// is left there.
[[nodiscard]] query<metabolism_settled> settle(tenant_id tenant, const metabolism& state,
                                               const std::vector<nano_amount>& draws);

}  // namespace agentese_metabolism

}  // namespace kgents::sql
