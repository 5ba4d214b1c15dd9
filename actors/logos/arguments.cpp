#include "actors/logos/arguments.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>

#include "actors/own_json.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

std::string full_path(const agentese::invoke_aspect& ask) { return ask.node + "." + ask.aspect; }

std::string_view type_text(argument_type x) {
  constexpr std::string_view names[] = {"a text",   "an integer", "a number", "true or false",
                                        "an object", "a list",     "any value"};
  return names[static_cast<size_t>(x)];
}

/// A text from a query string as what is wanted; unchanged when it is none.
void convert(json::value& x, argument_type want) {
  if (!x.is_string())
    return;
  const std::string_view text = x.get_string();
  const auto* end = text.data() + text.size();
  if (want == argument_type::integer) {
    int64_t n = 0;
    if (const auto r = std::from_chars(text.data(), end, n); r.ec == std::errc{} && r.ptr == end)
      x = n;
  } else if (want == argument_type::number) {
    double n = 0;
    if (const auto r = std::from_chars(text.data(), end, n); r.ec == std::errc{} && r.ptr == end)
      x = n;
  } else if (want == argument_type::boolean) {
    if (text == "true" || text == "1")
      x = true;
    else if (text == "false" || text == "0")
      x = false;
  } else if (want == argument_type::object || want == argument_type::array) {
    boost::system::error_code bad;
    if (auto parsed = json::parse(text, bad); !bad)
      x = std::move(parsed);
  }
}

bool fits(const json::value& x, argument_type want) {
  switch (want) {
    case argument_type::text:
      return x.is_string();
    case argument_type::integer:
      // What is no int64 is out of range for all that takes integers.
      return x.is_int64() || (x.is_uint64() && x.get_uint64() <= INT64_MAX) ||
             (x.is_double() && std::trunc(x.get_double()) == x.get_double() &&
              std::abs(x.get_double()) < 9e15);
    case argument_type::number:
      return x.is_number() && std::isfinite(x.to_number<double>());
    case argument_type::boolean:
      return x.is_bool();
    case argument_type::object:
      return x.is_object();
    case argument_type::array:
      return x.is_array();
    case argument_type::any:
      return true;
  }
  return false;
}

/// What is wrong with it, or nothing.
std::string wrong_with(const argument& a, const json::value& x) {
  const std::string name{a.name};
  if (!fits(x, a.type))
    return name + " must be " + std::string{type_text(a.type)};
  if (x.is_number()) {
    const auto n = x.to_number<double>();
    if (a.least && n < *a.least)
      return name + " must be at least " + json::serialize(json::value(*a.least));
    if (a.most && n > *a.most)
      return name + " must be at most " + json::serialize(json::value(*a.most));
  }
  if (x.is_string()) {
    const std::string_view text = x.get_string();
    if (text.size() > a.max_bytes)
      return name + " is longer than " + std::to_string(a.max_bytes) + " bytes";
    if (!a.one_of.empty() &&
        std::find(a.one_of.begin(), a.one_of.end(), text) == a.one_of.end()) {
      std::string out = name + " must be one of";
      for (const auto y : a.one_of)
        out += (&y == a.one_of.data() ? " " : ", ") + std::string{y};
      return out;
    }
  }
  if ((x.is_object() || x.is_array()) && json::serialize(x).size() > a.max_bytes)
    return name + " is larger than " + std::to_string(a.max_bytes) + " bytes";
  return {};
}

/// Whether a JSON text has the character NUL in a string; `\\u0000` is none.
bool has_nul(std::string_view text) {
  constexpr std::string_view escape = "\\u0000";
  for (auto at = text.find(escape); at != text.npos; at = text.find(escape, at + 1)) {
    const auto before = text.substr(0, at);
    const auto last = before.find_last_not_of('\\');
    const auto backslashes = before.size() - (last == before.npos ? 0 : last + 1);
    if (backslashes % 2 == 0)
      return true;
  }
  return false;
}

/// JSON has no infinity, but 1e999 is read as one, and printed as what nobody reads.
bool all_finite(const json::value& x) {
  if (const auto* n = x.if_double())
    return std::isfinite(*n);
  if (const auto* all = x.if_array())
    return std::all_of(all->begin(), all->end(), all_finite);
  if (const auto* members = x.if_object())
    return std::all_of(members->begin(), members->end(),
                       [](const auto& y) { return all_finite(y.value()); });
  return true;
}

}  // namespace

std::variant<json::object, outcome> check_arguments(const aspect_entry& aspect,
                                                    const agentese::invoke_aspect& ask) {
  json::object args;
  if (ask.kwargs != "{}" && !ask.kwargs.empty()) {
    boost::system::error_code bad;
    json::parse_options how;
    how.max_depth = kwargs_depth;
    auto parsed = json::parse(ask.kwargs, bad, {}, how);
    if (bad || !parsed.is_object())
      return outcome{agentese::errors::invalid_argument(
          full_path(ask), "kwargs",
          bad == json::error::too_deep ? "kwargs must not be nested so deep"
                                       : "kwargs must be a JSON object")};
    // PostgreSQL has no place for it, wherever in the kwargs it is.
    if (has_nul(ask.kwargs))
      return outcome{agentese::errors::invalid_argument(full_path(ask), "kwargs",
                                                        "kwargs must not have NUL characters")};
    if (!all_finite(parsed))
      return outcome{agentese::errors::invalid_argument(full_path(ask), "kwargs",
                                                        "kwargs must not have infinite numbers")};
    args = std::move(parsed.get_object());
  }
  if (ask.check_only)
    return args;
  for (const auto& a : aspect.spec->args) {
    auto* x = args.if_contains(a.name);
    if (x == nullptr || x->is_null()) {
      if (a.required) {
        const auto what = std::string{a.name} + " required";
        if (ask.origin == "v1")
          return outcome{json::object{{"error", what}}};
        return outcome{agentese::errors::invalid_argument(full_path(ask), a.name, what)};
      }
      if (!a.default_json.empty())
        args[a.name] = json::parse(a.default_json);
      continue;
    }
    convert(*x, a.type);
    if (auto wrong = wrong_with(a, *x); !wrong.empty())
      return outcome{agentese::errors::invalid_argument(full_path(ask), a.name, std::move(wrong))};
  }
  return args;
}

}  // namespace kgents::actors
