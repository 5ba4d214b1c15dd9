#pragma once

#include <boost/json/object.hpp>
#include <set>

#include "actors/contexts/call.hpp"
#include "protocol/agentese_event.hpp"

/// Aspects of time.trace that look at the log as a whole, for its table in trace.cpp.
namespace kgents::actors {

/// An event as traces show it: without its data, which not every observer is afforded.
[[nodiscard]] boost::json::object trace_of(const agentese_event& x);

/// The full paths in what `collect`, `analyze` and their like answer, or in a list of paths. Nothing
/// when it is neither.
[[nodiscard]] std::optional<std::set<std::string>> paths_in(const boost::json::value& x);

task<outcome> trace_collect(aspect_call& c);
task<outcome> trace_analyze(aspect_call& c);
task<outcome> trace_render(aspect_call& c);
task<outcome> trace_diff(aspect_call& c);

}  // namespace kgents::actors
