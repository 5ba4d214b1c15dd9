#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// A name and its target; no target: the standard alias of this name was removed.
using stored_alias = std::pair<std::string, std::optional<std::string>>;

/// What a tenant's aliases have beyond the standard ones (migration 24).
namespace agentese_aliases {

[[nodiscard]] query<std::vector<stored_alias>> list(tenant_id tenant);
/// None: nothing of that name was ever set or removed.
[[nodiscard]] query<std::optional<stored_alias>> get(tenant_id tenant, std::string_view name);
[[nodiscard]] query<nothing> set(tenant_id tenant, std::string_view name,
                                 std::optional<std::string> target);
[[nodiscard]] query<nothing> remove(tenant_id tenant, std::string_view name);

}  // namespace agentese_aliases

}  // namespace kgents::sql
