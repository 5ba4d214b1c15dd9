#pragma once

#include <optional>
#include <string>
#include <vector>

#include "actors/logos/logos.hpp"
#include "gateway/route.hpp"

/// Compositions as routes ask for them and answer.
namespace kgents::gateway {

/// The member `paths` of a body: texts, at least one, at most as many as a composition may have
/// stages. What is wrong is added to `wrong`.
[[nodiscard]] std::vector<std::string> read_paths(const boost::json::object& body,
                                                  violations& wrong);

/// For `composition_request::left`: the client of this call has gone away.
[[nodiscard]] std::function<bool()> left_by(const call_ptr& c);

/// What all stages together may cost of the month.
[[nodiscard]] uint64_t token_estimate(const actors::registry& nodes,
                                      const std::vector<std::string>& paths, std::string_view tier);

/// `[{path, span_id, duration_ms, output_type}]` of the stages that ran, as JSON text.
[[nodiscard]] std::string trace_text(const actors::composed& x);

/// The result of a composition that came to its end; null when it did not.
[[nodiscard]] const std::string* result_of(const actors::composed& x);

/// `{stages, final_result, success, failed_at, total_duration_ms}` of `node.pipe(a, b)`.
[[nodiscard]] std::string pipeline_text(const actors::composed& x);

}  // namespace kgents::gateway
