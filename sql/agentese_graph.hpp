#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sql/query.hpp"

namespace kgents::sql {

/// One aspect invoked another, so many times. Full paths.
struct agentese_call {
  std::string from;
  std::string to;
  int64_t calls = 0;
};

/// A full path and how often it was invoked.
struct agentese_path_count {
  std::string path;
  int64_t count = 0;
};

/// A tenant's event log seen as a whole: what `time` makes graphs and trends of. Only what is
/// retained; all for kg_app.
namespace agentese_graph {

/// The most frequent calls between aspects, at most `limit`.
[[nodiscard]] query<std::vector<agentese_call>> calls(tenant_id tenant, size_t limit);

/// What was invoked up to a time, the most frequent first, at most `limit`.
[[nodiscard]] query<std::vector<agentese_path_count>> paths(
    tenant_id tenant, std::chrono::system_clock::time_point until, size_t limit);

/// When a node (or, with an aspect, that of it) was invoked: microseconds since 1970, the newest
/// `limit`, newest last.
[[nodiscard]] query<std::vector<int64_t>> times(tenant_id tenant, std::string_view node,
                                                std::string_view aspect, size_t limit);

}  // namespace agentese_graph

}  // namespace kgents::sql
