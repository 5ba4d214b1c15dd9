#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/acting.hpp"
#include "sql/api_keys.hpp"
#include "sql/query.hpp"
#include "sql/users.hpp"

namespace kgents::sql {

/// All of a tenant that its administrators and the operator are shown; `tenants` has what requests
/// go by.
struct tenant_record {
  tenant_id id;
  std::string name;
  std::string slug;
  std::string tier;
  std::string status;
  std::optional<std::string> stripe_customer;
  uint64_t tokens_used_month = 0;   ///< of the current month (UTC)
  uint64_t tokens_limit_month = 0;  ///< 0: unlimited
  uint32_t requests_per_minute = 0;
  bool negotiated_rate = false;  ///< requests_per_minute shapes traffic instead of the tier's
  std::optional<uint32_t> requests_per_hour;  ///< these three: none takes the tier's
  std::optional<uint32_t> burst;
  std::optional<uint32_t> operations_per_day;
  std::string data_plane;  ///< pool or silo
  std::string settings;    ///< JSON text, an object
  uint64_t members = 0;
  std::string created_at;
  std::string updated_at;
};

struct tenant_page {
  std::vector<tenant_record> tenants;  ///< newest first
  uint64_t total = 0;                  ///< before paging
};

struct tenant_filter {
  std::string slug{};  ///< empty: any, as all of these
  std::string tier{};
  std::string status{};
  uint32_t limit = 20;
  uint64_t offset = 0;
};

/// A tenant to be made, with its owner and the owner's first key, which may do everything.
struct new_tenant {
  tenant_id id{uuid::time_ordered()};
  std::string name;
  std::string slug;
  std::string tier;
  user_id owner{uuid::time_ordered()};
  std::string owner_email;
  new_api_key key{};  ///< id, prefix and hash
};

namespace tenant_records {

/// For the tenant itself.
[[nodiscard]] query<std::optional<tenant_record>> get(tenant_id tenant);
/// `settings`: JSON text; its members replace those of the same name, null removes. Not done:
/// settings_too_large (64 KiB).
[[nodiscard]] query<acted<tenant_record>> update(const acting& who, std::optional<std::string> name,
                                                 std::optional<std::string> settings);

// The operator's: only on a pool of the control role.
[[nodiscard]] query<tenant_page> list(const tenant_filter& filter);
[[nodiscard]] query<std::optional<tenant_record>> look(tenant_id tenant);
/// Not done: duplicate.
[[nodiscard]] query<acted<tenant_record>> create(const acting& who, const new_tenant& fresh);
/// `changes`: JSON text with those of name, tier, status, rate_limit_rpm, tokens_limit_month,
/// rate_limit_rph, rate_burst, requests_per_day that change; null: the tier's. Not done: not_found.
[[nodiscard]] query<acted<tenant_record>> change(const acting& who, tenant_id tenant,
                                                 std::string changes);
/// Its rows stay. Not done: not_found.
[[nodiscard]] query<act_result> remove(const acting& who, tenant_id tenant);

}  // namespace tenant_records

}  // namespace kgents::sql
