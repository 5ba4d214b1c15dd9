#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/acting.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// A member of a tenant.
struct user_row {
  user_id id;
  tenant_id tenant;
  std::string email;
  std::optional<std::string> name;
  std::string role;  ///< owner, admin, member, readonly
  bool active = true;
  bool email_verified = false;
  std::optional<std::string> last_login_at;
  std::string created_at;
  std::string updated_at;
};

struct user_page {
  std::vector<user_row> users;  ///< oldest first
  uint64_t total = 0;           ///< before paging
};

/// Of the tenant's members who were not removed. In the control database.
namespace users {

[[nodiscard]] query<user_page> list(tenant_id tenant, uint32_t limit, uint64_t offset);
[[nodiscard]] query<std::optional<user_row>> get(tenant_id tenant, user_id id);

/// Not done: duplicate, max_members N, exceeds_role ROLE, owner_by_transfer.
[[nodiscard]] query<acted<user_row>> create(const acting& who, user_id id, std::string_view email,
                                            std::string_view name, std::string_view role);
/// `changes`: JSON text with those of name, role, is_active that change. Not done: not_found,
/// last_owner, exceeds_role ROLE, owner_by_transfer.
[[nodiscard]] query<acted<user_row>> update(const acting& who, user_id id, std::string changes);
/// Revokes the person's keys. Not done: not_found, last_owner, exceeds_role ROLE.
[[nodiscard]] query<act_result> remove(const acting& who, user_id id);
/// The caller's own ownership. Not done: not_found, not_owner, inactive.
[[nodiscard]] query<acted<user_row>> transfer_ownership(const acting& who, user_id to);

}  // namespace users

}  // namespace kgents::sql
