#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents {

using crystal_id = strong_uuid<struct crystal_tag>;

}  // namespace kgents

namespace kgents::sql {

/// A working context that was put aside.
struct crystal {
  crystal_id id;
  std::string agent;
  std::string task_id;
  std::string task_description;
  std::string task_status;
  double progress = 0;         ///< 0 to 1
  std::string window;          ///< JSON array of what was preserved, oldest first
  std::string working_memory;  ///< JSON object
  std::string summary;         ///< of what was dropped
  uint32_t preserved = 0;
  uint32_t dropped = 0;
  std::optional<crystal_id> parent{};
  bool pinned = false;
  std::string created_at;
  std::string expires_at;
};

/// A crystal that goes, or has gone.
struct crystal_end {
  crystal_id id;
  std::string task_id;
  std::string expires_at;
  int64_t seconds_left = 0;
};

struct reaped_crystals {
  std::vector<crystal_end> gone;
  uint64_t left = 0;
};

/// self.memory's crystals (migration 24).
namespace agentese_crystals {

/// `created_at` and `expires_at` are not read: it expires `ttl_seconds` from now. Returns the
/// latter.
[[nodiscard]] query<std::string> create(tenant_id tenant, const crystal& what, int64_t ttl_seconds);

/// None: there is none, or it has expired and is not pinned.
[[nodiscard]] query<std::optional<crystal>> get(tenant_id tenant, crystal_id id);

[[nodiscard]] query<uint64_t> count(tenant_id tenant);

/// False when there is none.
[[nodiscard]] query<bool> pin(tenant_id tenant, crystal_id id, bool pinned);

/// Drops what has expired and is not pinned, at most `most` at once.
[[nodiscard]] query<reaped_crystals> reap(tenant_id tenant, size_t most);

/// What will expire within so many seconds and is not pinned, soonest first.
[[nodiscard]] query<std::vector<crystal_end>> expiring(tenant_id tenant, int64_t within_seconds,
                                                       size_t limit);

}  // namespace agentese_crystals

}  // namespace kgents::sql
