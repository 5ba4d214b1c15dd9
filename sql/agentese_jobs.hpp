#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// Work that was asked of a node and is done elsewhere. Times as they go out.
struct agentese_job {
  uuid id;
  std::string node;
  std::string aspect;
  std::string kwargs = "{}";      ///< JSON text
  std::string status = "queued";  ///< queued, running, done, failed, cancelled
  std::string note;
  std::string requested_by;
  std::string created_at;
  std::string updated_at;
};

/// A tenant's jobs. All for kg_app.
namespace agentese_jobs {

/// Inserts `job` (with its id, node, aspect, kwargs and requested_by) as queued.
[[nodiscard]] statement insert_statement(tenant_id tenant, const agentese_job& job);

/// How many are queued or running.
[[nodiscard]] query<int64_t> count_open(tenant_id tenant);

/// Newest first. Empty `node` or `status`: any.
[[nodiscard]] query<std::vector<agentese_job>> list(tenant_id tenant, std::string_view node,
                                                    std::string_view status, size_t limit);

[[nodiscard]] query<std::optional<agentese_job>> get(tenant_id tenant, const uuid& job);

/// Sets a status other than queued, as long as it is queued or running; none when it is neither or
/// not there. One statement: of two that claim a job, one gets it.
[[nodiscard]] query<std::optional<agentese_job>> change(tenant_id tenant, const uuid& job,
                                                        std::string_view status,
                                                        std::string_view note);

}  // namespace agentese_jobs

}  // namespace kgents::sql
