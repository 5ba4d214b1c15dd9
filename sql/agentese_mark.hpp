#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "protocol/agentese_event.hpp"
#include "sql/usage.hpp"

namespace kgents::sql {

/// Beyond this many bytes of data an event is kept without them.
inline constexpr size_t agentese_data_bytes = 64 * 1024;

/// What one invocation leaves behind: an event of the tenant's log, and what is billed for it.
///
/// `event_id` and `usage` are made by whoever notes the mark (`uuid::time_ordered()`), so that a
/// repeated write counts once.
struct agentese_mark {
  tenant_id tenant;
  uuid event_id;
  agentese_event_type type = agentese_event_type::invoked;
  std::string node;         ///< node path: `void.entropy`
  std::string aspect;       ///< `sip`, also when it failed
  std::string archetype;    ///< the observer's
  std::string observer_id;  ///< may be empty
  /// JSON text; empty is null. `invoked`: the result; `error`: `{error, type}`; `refused`:
  /// `{reason}`. Beyond 64 KiB it is left out.
  std::string data;
  bool data_truncated = false;  ///< it was left out; set by the journal
  std::string status = "ok";  ///< or an error's code
  uint32_t duration_ms = 0;
  uint32_t tokens = 0;
  std::string trace_id, span_id, parent_span_id;  ///< hex; may be empty
  std::string origin;  ///< gateway, v1, api, schedule, …
  std::string caller;  ///< node path of the aspect that invoked this one; empty: a client did
  std::chrono::system_clock::time_point at{};
  usage_id usage;    ///< nil: not billed
  api_key_id key;    ///< nil: none
  uint32_t tokens_in = 0, tokens_out = 0;
  std::string usage_source = "agentese";
};

}  // namespace kgents::sql
