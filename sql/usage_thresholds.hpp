#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// A tenant has used up so many percent (50, 80, 100) of its month's tokens; once a month each.
struct crossed_threshold {
  uuid id;
  tenant_id tenant;
  std::string period;  ///< YYYY-MM
  uint32_t percent = 0;
  uint64_t tokens_used = 0;
  uint64_t tokens_limit = 0;
  std::string crossed_at;
};

/// Both for kg_control.
namespace usage_thresholds {

/// Notes those that tenants have come to by now; at most `most` that nobody was told of.
[[nodiscard]] query<std::vector<crossed_threshold>> cross(uint32_t most);
[[nodiscard]] query<nothing> told(const std::vector<uuid>& ids);

}  // namespace usage_thresholds

}  // namespace kgents::sql
