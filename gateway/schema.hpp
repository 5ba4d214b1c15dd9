#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// Shapes of bodies and query strings: one description gives the 422 answers and the OpenAPI
/// document.
namespace kgents::gateway {

enum class value_type : uint8_t { string, integer, number, boolean, object, array, any };

struct field {
  std::string_view name;
  value_type type = value_type::string;
  bool required = false;
  bool nullable = false;
  std::string_view default_json{};  ///< JSON text; empty: absent stays absent
  std::string_view meaning{};
  std::optional<int64_t> least{};  ///< numbers: value
  std::optional<int64_t> most{};
  bool clamp = false;  ///< outside `most`: the bound is taken instead of a 422
  std::span<const std::string_view> one_of{};  ///< for the document; handlers decide (400, not 422)
  size_t max_bytes = 0;  ///< strings: longer ones are a 422; 0: the body's own limit
};

struct schema {
  std::string_view name;  ///< under components/schemas
  std::span<const field> fields{};
};

/// Why a body or query does not fit: the entries of the 422's list (http-api.md 1.6).
using violations = boost::json::array;

/// Checks `body` and fills in defaults. Unknown members are dropped.
[[nodiscard]] boost::json::object validate_body(const schema& shape, const boost::json::value& body,
                                                violations& wrong);

/// The same for a raw body: not there, not JSON, too deep.
[[nodiscard]] boost::json::object parse_body(const schema& shape, std::string_view text,
                                             violations& wrong);

/// A raw query string, percent-encoded.
[[nodiscard]] boost::json::object parse_query(std::span<const field> fields, std::string_view query,
                                              violations& wrong);

/// One entry of the list.
void add_violation(violations& out, std::string_view type, boost::json::array where,
                   std::string_view message, boost::json::value input,
                   boost::json::object context = {});

/// The value of one parameter of a raw query string, decoded, or as it is when an escape is
/// malformed; none when absent.
[[nodiscard]] std::optional<std::string> query_value(std::string_view query, std::string_view name);

/// Decodes %XX (and '+' as a space when `plus`). None when malformed.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text, bool plus);

/// JSON Schema (2020-12, as in OpenAPI 3.1) of one field and of a whole shape.
[[nodiscard]] boost::json::object to_json_schema(const field& x);
[[nodiscard]] boost::json::object to_json_schema(const schema& x);

}  // namespace kgents::gateway
