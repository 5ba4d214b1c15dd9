#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// An agent that a tenant has set up.
struct agent_row {
  std::string name;
  std::string agent_type;
  std::string config = "{}";  ///< JSON text
  bool active = true;
  std::string created_at;
};

/// All for kg_app.
namespace agents {

/// By name.
[[nodiscard]] query<std::vector<agent_row>> list(tenant_id tenant, size_t limit);

[[nodiscard]] query<std::optional<agent_row>> get(tenant_id tenant, std::string_view name);

/// False when there is none of that name.
[[nodiscard]] query<bool> set_active(tenant_id tenant, std::string_view name, bool active);

}  // namespace agents

}  // namespace kgents::sql
