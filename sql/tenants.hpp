#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

struct tenant_row {
  tenant_id id;
  std::string name;
  std::string tier;                 ///< free, starter, pro, team, enterprise, custom
  std::string status;               ///< active, trialing, past_due, paused, canceled
  uint64_t tokens_limit_month = 0;  ///< 0: unlimited
  uint64_t tokens_used_month = 0;   ///< of the current month (UTC)
  std::string data_plane;           ///< pool or silo
};

namespace tenants {

/// None when it is deleted or does not exist.
[[nodiscard]] query<std::optional<tenant_row>> get(tenant_id tenant);

}  // namespace tenants

}  // namespace kgents::sql
