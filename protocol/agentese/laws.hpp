#pragma once

// What the laws of composition are checked with (agentese.md section 10).

#include <boost/json/value.hpp>
#include <string_view>

namespace kgents::agentese {

/// Whether two results are equal as JSON, members timestamp, span_id, created_at and updated_at
/// left out at every depth. Numbers compare by value: 1, 1u and 1.0 are equal. Members have no
/// order, elements have.
[[nodiscard]] bool same_value(const boost::json::value& a, const boost::json::value& b);

/// The minimal output principle: a stage yields one logical unit, so no array at the top level.
[[nodiscard]] inline bool is_one_unit(const boost::json::value& x) noexcept {
  return !x.is_array();
}

/// object, array, string, number, boolean or null: `output_type` of a pipeline's trace.
[[nodiscard]] std::string_view type_name(const boost::json::value& x) noexcept;

}  // namespace kgents::agentese
