#pragma once

#include "actors/contexts/call.hpp"

namespace kgents::actors {

/// `{handle, exists, affordances}` of the call's node for its observer: what `check_only` answers.
[[nodiscard]] boost::json::object described(const aspect_call& c, const resolution& stored);

/// The aspect, its category, arguments and examples, from the table.
[[nodiscard]] boost::json::object help_of(const aspect_entry& aspect);

}  // namespace kgents::actors
