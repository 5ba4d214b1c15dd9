#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

/// Silos as the operator sees them. Only on a pool of the control role, in the shared database.
namespace kgents::sql::silos {

/// A line of kg.silos. Times as they go out.
struct silo {
  tenant_id tenant;
  std::string slug;
  std::string database;
  std::string dsn_ref;
  std::string state;
  std::optional<std::string> reason;  ///< of the last failure
  std::string details;                ///< of the step it is at, or of the copy: a JSON object
  bool cancel_requested = false;
  int64_t attempts = 0;
  int64_t purge_after_seconds = 0;
  std::string created_at;
  std::string updated_at;
  std::optional<std::string> activated_at;
  std::optional<std::string> purge_at;
  std::optional<std::string> purged_at;
  bool worked_on = false;  ///< a node that can make silos is there
};

struct requested {
  std::string outcome;  ///< accepted, exists, missing or tier
  std::string tier;
};

/// Asks for a silo, or again for one that has failed. Without a `dsn_ref` it is named for the
/// tenant; without `purge_after_seconds` what stays behind goes after seven days.
[[nodiscard]] query<requested> request(tenant_id tenant, std::optional<std::string> dsn_ref,
                                       std::optional<int64_t> purge_after_seconds);

/// accepted, canceled, missing or active.
[[nodiscard]] query<std::string> cancel(tenant_id tenant);

/// That of a tenant, or all (at most a thousand), oldest first.
[[nodiscard]] query<std::vector<silo>> show(std::optional<tenant_id> tenant);

/// The tenant whose silo wants to be worked on now, if any.
[[nodiscard]] query<std::optional<tenant_id>> due();

/// Gives tenants their writes back whose rows nobody copies any more; how many.
[[nodiscard]] query<int64_t> back_out_stale_moves(int64_t seconds);

}  // namespace kgents::sql::silos
