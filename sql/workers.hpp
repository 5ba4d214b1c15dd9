#pragma once

#include <chrono>
#include <string_view>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

/// Leases on work that one node does at a time. Only on a pool of the control role.
namespace kgents::sql::workers {

/// Takes or renews; true when `owner`, one life of a process, holds it for `time` from now on.
[[nodiscard]] query<bool> hold(std::string_view worker, const uuid& owner,
                               std::chrono::seconds time);

/// Gives it up, so that another need not wait for it to expire.
[[nodiscard]] query<nothing> release(std::string_view worker, const uuid& owner);

}  // namespace kgents::sql::workers
