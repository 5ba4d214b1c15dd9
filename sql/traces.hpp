#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// One request to AGENTESE, of what the tenant's event log retains: an invocation or the stages of a
/// composition, and what they invoked themselves.
struct trace_row {
  std::string trace;
  std::string path;  ///< `path.aspect` of what the client asked for; stages with ` >> ` between them
  bool error = false;  ///< a stage failed or declined
  uint64_t duration_ms = 0;
  std::string started_at;
  uint64_t spans = 0;
};

struct span_row {
  std::string span;
  std::optional<std::string> parent;
  std::string path;
  std::string aspect;
  std::string status;  ///< ok, or an error's code
  bool error = false;
  uint64_t duration_ms = 0;
  uint64_t tokens = 0;
  std::string started_at;
  std::string archetype;
  std::string origin;  ///< gateway, v1, api, schedule, …
  std::optional<std::string> caller;  ///< node path of the aspect that invoked it
};

struct trace_search {
  std::chrono::system_clock::time_point from;
  std::chrono::system_clock::time_point to;
  std::string path{};          ///< one of its spans has it, or is below it; empty: any
  std::optional<bool> error{};
  uint32_t limit = 100;
};

namespace traces {

constexpr size_t most_spans = 1000;  ///< of one trace; a composition has far fewer

/// Newest first.
[[nodiscard]] query<std::vector<trace_row>> list(tenant_id tenant, const trace_search& search);
/// In the order in which they began, at most `most_spans`; none: there is no such trace.
[[nodiscard]] query<std::vector<span_row>> spans(tenant_id tenant, std::string_view trace);

}  // namespace traces

}  // namespace kgents::sql
