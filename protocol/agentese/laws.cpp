#include "protocol/agentese/laws.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace kgents::agentese {
namespace {

using boost::json::value;

/// Exact for every integer and every double where long double has 64 bits of mantissa or more.
long double number(const value& x) {
  if (x.is_int64())
    return static_cast<long double>(x.get_int64());
  if (x.is_uint64())
    return static_cast<long double>(x.get_uint64());
  return static_cast<long double>(x.get_double());
}

bool compared(std::string_view member) {
  constexpr std::array<std::string_view, 4> ignored{"timestamp", "span_id", "created_at",
                                                    "updated_at"};
  return std::find(ignored.begin(), ignored.end(), member) == ignored.end();
}

bool same_object(const boost::json::object& a, const boost::json::object& b) {
  const auto counted = [](const boost::json::object& x) {
    return std::count_if(x.begin(), x.end(),
                         [](const auto& member) { return compared(member.key()); });
  };
  return counted(a) == counted(b) && std::all_of(a.begin(), a.end(), [&](const auto& member) {
           if (!compared(member.key()))
             return true;
           const auto* other = b.if_contains(member.key());
           return other && same_value(member.value(), *other);
         });
}

}  // namespace

bool same_value(const value& a, const value& b) {
  if (a.is_number() && b.is_number())
    return number(a) == number(b);
  if (a.kind() != b.kind())
    return false;
  if (a.is_object())
    return same_object(a.get_object(), b.get_object());
  if (a.is_array())
    return std::equal(a.get_array().begin(), a.get_array().end(), b.get_array().begin(),
                      b.get_array().end(), same_value);
  return a == b;
}

std::string_view type_name(const value& x) noexcept {
  if (x.is_object())
    return "object";
  if (x.is_array())
    return "array";
  if (x.is_string())
    return "string";
  if (x.is_bool())
    return "boolean";
  return x.is_number() ? "number" : "null";
}

}  // namespace kgents::agentese
