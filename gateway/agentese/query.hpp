#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/logos/registry.hpp"
#include "protocol/agentese/error.hpp"
#include "protocol/agentese/invocation.hpp"

namespace kgents::gateway {

/// A query of agentese.md section 11 as it was asked.
struct query_request {
  std::string pattern;
  int64_t limit = 100;
  int64_t offset = 0;
  bool dry_run = false;
  bool capability_check = true;
};

/// The query result object; QUERY_SYNTAX or QUERY_BOUND. `defined`: what the tenant has defined
/// beyond the table (world.house), sorted. Invokes nothing.
///
/// What nobody is afforded is not told when `capability_check` is asked for: neither what the
/// observer lacks nor what the credential may not use.
[[nodiscard]] std::variant<boost::json::object, agentese::error> run_query(
    const actors::registry& nodes, std::span<const std::string> defined, const query_request& ask,
    const agentese::observer& who, const agentese::caller& by);

}  // namespace kgents::gateway
