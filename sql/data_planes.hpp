#pragma once

#include <optional>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

/// Tenants with a database of their own: where it is and what goes between it and the shared one.
namespace kgents::sql::planes {

struct directory_entry {
  tenant_id tenant;
  bool active = false;   ///< false: its data is being copied and still in the shared database
  std::string database;  ///< its name; empty when not active
  std::string dsn_ref;   ///< the name of its secret
};
/// All of them; few. Only on a pool of the control role, as the next three.
[[nodiscard]] query<std::vector<directory_entry>> directory();

/// The oldest usage events of a silo that the shared database has not taken over; JSON as
/// `take_usage` takes it, and their ids as an array of PostgreSQL's.
struct unrelayed {
  size_t events = 0;
  std::string json;
  std::string ids;
};
[[nodiscard]] query<unrelayed> unrelayed_usage(tenant_id tenant, uint32_t limit);
/// In the shared database: keeps each once. How many were new.
[[nodiscard]] query<uint64_t> take_usage(tenant_id tenant, std::string events);
/// In the silo: they have been taken over.
[[nodiscard]] query<nothing> usage_taken(tenant_id tenant, std::string ids);

/// Who the tenant is, from the shared database, as `mirror` takes it: one key with its user, or one
/// user. All of the tenant's when both are none. Tenant transactions, as the next.
[[nodiscard]] query<std::string> principals(tenant_id tenant, std::optional<user_id> user,
                                            std::optional<api_key_id> key);
/// In the silo: before it stores something that refers to them, and for its limits.
[[nodiscard]] query<nothing> mirror(tenant_id tenant, std::string principals);

}  // namespace kgents::sql::planes
