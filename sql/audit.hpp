#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// One entry of a tenant's audit log. Entries are written by the functions that act.
struct audit_row {
  int64_t id = 0;  ///< grows; that of an act that committed later may be lower
  std::string at;
  std::string actor_kind;  ///< user, key, platform, database
  std::optional<user_id> actor_user;
  std::optional<api_key_id> actor_key;
  std::optional<std::string> actor_prefix;
  std::optional<std::string> actor_name;
  std::string action;
  std::string object_type;  ///< tenant, user, api_key, action
  std::optional<std::string> object;
  std::string also;  ///< JSON text: ids of what else the act changed
  std::string outcome;
  std::string details;  ///< JSON text, an object
  std::optional<std::string> request;
  std::optional<std::string> address;
};

struct audit_filter {
  std::string action{};  ///< or all that begin with it and a dot; empty: any, as all of these
  std::string object_type{};
  std::optional<uuid> object{};  ///< as object or beside it
  std::optional<user_id> actor_user{};
  std::optional<api_key_id> actor_key{};
  std::optional<int64_t> before{};  ///< only entries with lower ids
  uint32_t limit = 20;
};

struct audit_page {
  std::vector<audit_row> entries;  ///< newest first
  bool more = false;
  uint64_t total = 0;  ///< that fit, before paging
};

/// In the control database.
namespace audit {

[[nodiscard]] query<audit_page> page(tenant_id tenant, const audit_filter& filter);

/// What the soul said of an action, for the transaction that charges for it: `plane::control`, as
/// kg_app. `details` is JSON text.
[[nodiscard]] statement governance_statement(api_key_id key, std::string_view outcome,
                                             std::string details);
/// The same alone.
[[nodiscard]] query<nothing> governance(tenant_id tenant, api_key_id key, std::string_view outcome,
                                        std::string details);

}  // namespace audit

}  // namespace kgents::sql
