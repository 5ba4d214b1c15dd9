#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "actors/contexts/node_store.hpp"

namespace kgents::actors {

/// How an entity shows itself to an archetype (agentese.md 8.1): a blueprint, a poem, a balance.
/// What its state does not say has the value of something that nobody has touched yet. A state that
/// is not empty is told to everybody as `state`. Pure, and cheap: it is the warm path.
[[nodiscard]] boost::json::object rendering(const stored_node& node, std::string_view archetype);

/// The scientist's, for other things than entities too.
[[nodiscard]] boost::json::object scientific_rendering(const stored_node& node);

}  // namespace kgents::actors
