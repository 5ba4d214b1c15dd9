#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string_view>

namespace kgents::actors {

/// JSON Schema (2020-12) of a shape, written short so that a table of aspects stays readable:
///
///     shape  = type *( "|" type )
///     type   = "string" | "integer" | "number" | "boolean" | "object" | "array" | "null" | "any"
///            | "'" text "'"                        one fixed string
///            | "[" shape "]"                       a list of them
///            | "{" shape "}"                       an object whose members are all of that shape
///            | "{" name ["?"] ":" shape, … "}"     an object; `?` may be missing; others may be there
///
/// None when it is not of that form.
[[nodiscard]] std::optional<boost::json::value> schema_of(std::string_view shape);

}  // namespace kgents::actors
