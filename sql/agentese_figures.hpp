#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// How much of everything a tenant has.
struct tenant_counts {
  uint64_t memories = 0;
  uint64_t crystals = 0;
  uint64_t concepts = 0;
  uint64_t pending_decisions = 0;
  uint64_t sessions = 0;
  uint64_t defined_nodes = 0;
};

/// How the database does, and how the tenant's newest invocations did.
struct vital_signs {
  bool in_recovery = false;  ///< a standby: nothing can be written
  std::string synchronous_commit;
  std::string fsync;
  int64_t last_seq = 0;      ///< of the tenant's event log
  int64_t trimmed_seq = 0;   ///< what is no longer retained of it
  uint64_t invocations = 0;  ///< that the following is about: the newest 200 at most
  uint64_t errors = 0;
  uint64_t refusals = 0;
  int64_t median_ms = 0;
  int64_t p95_ms = 0;
  int64_t longest_ms = 0;
  std::optional<int64_t> idle_seconds{};  ///< since the newest event; none: nothing happened yet
};

/// What self.forest and self.vitals show.
namespace agentese_figures {

[[nodiscard]] query<tenant_counts> counts(tenant_id tenant);
[[nodiscard]] query<vital_signs> vitals(tenant_id tenant);

}  // namespace agentese_figures

}  // namespace kgents::sql
