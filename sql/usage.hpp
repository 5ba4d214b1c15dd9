#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents {

/// A usage event's id, also its CloudEvents id. Made with `uuid::time_ordered()` by whoever counts,
/// before the first try, so that a repeated write counts once.
using usage_id = strong_uuid<struct usage_tag>;

}  // namespace kgents

namespace kgents::sql {

/// One billable event. Names and values as in the table's checks; `endpoint` is a route's template,
/// never a raw path.
struct usage_event {
  usage_id id;
  std::string type;    ///< api_call, llm_call, session_create, agentese_invoke, kgent_message, …
  std::string source;  ///< api, kgent, soul, agentese, playground, sdk
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
  uint64_t storage_bytes = 0;
  uint32_t compute_ms = 0;
  std::optional<session_id> session{};
  std::optional<api_key_id> api_key{};
  std::optional<std::string> agentese_path{};
  std::optional<std::string> model{};
  std::optional<std::string> endpoint{};
  std::optional<std::string> method{};
  std::optional<uint16_t> status_code{};
};

struct usage_summary {
  uint64_t tokens_in = 0;
  uint64_t tokens_out = 0;
  uint64_t storage_bytes = 0;
  uint64_t compute_ms = 0;
  uint64_t events = 0;
};

namespace usage {

/// False when an event with this id is already there (a repeated write).
[[nodiscard]] query<bool> record(tenant_id tenant, const usage_event& event);

/// The statement alone, for a transaction that also does what is counted.
[[nodiscard]] statement record_statement(tenant_id tenant, const usage_event& event);

/// `period` is `YYYY-MM` (UTC); zeros when there is nothing.
[[nodiscard]] query<usage_summary> summary(tenant_id tenant, std::string_view period);

}  // namespace usage

}  // namespace kgents::sql
