#pragma once

#include <boost/json/object.hpp>
#include <variant>

#include "actors/contexts/call.hpp"

namespace kgents::actors {

/// The arguments of an invocation, each of its declared type, defaults filled in; or why not: for
/// /v1 a missing one is a result `{"error":"<name> required"}` as its callers know it, everything
/// else INVALID_ARGUMENT. Texts are converted where a number or boolean is wanted (a query string
/// has nothing else). What is not declared is kept: `input` of a composition, say.
[[nodiscard]] std::variant<boost::json::object, outcome> check_arguments(
    const aspect_entry& aspect, const agentese::invoke_aspect& ask);

}  // namespace kgents::actors
