#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string_view>

namespace kgents::runtime::identity {

/// A JSON object in which no object has a member twice, at any depth: two readers that disagree
/// about which one counts can be played off against each other. None for anything else: no JSON,
/// no object, nested deeper than 32, a number too big for a double.
[[nodiscard]] std::optional<boost::json::object> parse_strictly(std::string_view text);

}  // namespace kgents::runtime::identity
