#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>

#include "actors/contexts/call.hpp"

/// Small things that the context self keeps by name. Hold `c.lock("self:" + name)` around
/// read-modify-write.
namespace kgents::actors::self_store {

/// Null: nothing is kept under that name.
[[nodiscard]] task<boost::json::value> load(aspect_call& c, std::string name);

/// An error instead of storing it where the tenant keeps too many names.
[[nodiscard]] task<std::optional<agentese::error>> save(aspect_call& c, std::string name,
                                                        boost::json::value value,
                                                        boost::json::object change);

}  // namespace kgents::actors::self_store
