#include "gateway/schema.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/stream_parser.hpp>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>

#include "gateway/http/websocket_frames.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Deeper JSON is refused: nothing we take nests, and a parser's stack is not the client's to fill.
constexpr size_t max_json_depth = 64;

/// 1e999 is read as infinity, which is no JSON when it is printed again.
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

std::string_view type_error(value_type x) {
  switch (x) {
    case value_type::string:
      return "string_type";
    case value_type::integer:
      return "int_type";
    case value_type::number:
      return "float_type";
    case value_type::boolean:
      return "bool_parsing";
    case value_type::object:
      return "dict_type";
    case value_type::array:
      return "list_type";
    case value_type::any:
      break;
  }
  return "value_error";
}

std::string_view type_message(value_type x) {
  switch (x) {
    case value_type::string:
      return "Input should be a valid string";
    case value_type::integer:
      return "Input should be a valid integer";
    case value_type::number:
      return "Input should be a valid number";
    case value_type::boolean:
      return "Input should be a valid boolean, unable to interpret input";
    case value_type::object:
      return "Input should be a valid dictionary";
    case value_type::array:
      return "Input should be a valid list";
    case value_type::any:
      break;
  }
  return "Input is not valid";
}

std::optional<bool> as_boolean(const json::value& x) {
  if (x.is_bool())
    return x.get_bool();
  if (x.is_int64() && (x.get_int64() == 0 || x.get_int64() == 1))
    return x.get_int64() == 1;
  if (!x.is_string())
    return std::nullopt;
  std::string text{x.get_string()};
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (auto yes : {"true", "yes", "on", "1", "t", "y"})
    if (text == yes)
      return true;
  for (auto no : {"false", "no", "off", "0", "f", "n"})
    if (text == no)
      return false;
  return std::nullopt;
}

/// `x` as the field wants it; none when it is of another type.
std::optional<json::value> converted(const field& f, const json::value& x) {
  switch (f.type) {
    case value_type::string:
      return x.is_string() ? std::optional{x} : std::nullopt;
    case value_type::integer:
      return x.is_int64() ? std::optional{x} : std::nullopt;
    case value_type::number:
      return x.is_number() ? std::optional{x} : std::nullopt;
    case value_type::boolean:
      if (auto b = as_boolean(x))
        return json::value(*b);
      return std::nullopt;
    case value_type::object:
      return x.is_object() ? std::optional{x} : std::nullopt;
    case value_type::array:
      return x.is_array() ? std::optional{x} : std::nullopt;
    case value_type::any:
      return x;
  }
  return std::nullopt;
}

/// Bounds and contents of a value of the right type.
void check_value(const field& f, json::value& x, const json::array& where, violations& wrong) {
  if (f.type == value_type::string) {
    const auto& text = x.get_string();
    if (text.find('\0') != json::string::npos)
      add_violation(wrong, "string_nul", where, "Input should not contain the character NUL", x);
    else if (f.max_bytes > 0 && text.size() > f.max_bytes)
      add_violation(wrong, "string_too_long", where,
                    "String should have at most " + std::to_string(f.max_bytes) + " bytes", nullptr,
                    {{"max_length", f.max_bytes}});
    return;
  }
  if (!x.is_number())
    return;
  const auto number = x.to_number<double>();
  if (f.least && number < static_cast<double>(*f.least)) {
    if (f.clamp && f.most && number >= 0)
      x = *f.least;
    else
      add_violation(wrong, "greater_than_equal", where,
                    "Input should be greater than or equal to " + std::to_string(*f.least), x,
                    {{"ge", *f.least}});
  } else if (f.most && number > static_cast<double>(*f.most)) {
    if (f.clamp)
      x = *f.most;
    else
      add_violation(wrong, "less_than_equal", where,
                    "Input should be less than or equal to " + std::to_string(*f.most), x,
                    {{"le", *f.most}});
  }
}

/// JSON has no infinity: what a client wrote as 1e999 is echoed as null.
void keep_finite(json::value& x) {
  if (x.is_double() && !std::isfinite(x.get_double()))
    x = nullptr;
  else if (auto* list = x.if_array())
    std::for_each(list->begin(), list->end(), keep_finite);
  else if (auto* object = x.if_object())
    for (auto& member : *object)
      keep_finite(member.value());
}

void fill_default(const field& f, json::object& out) {
  if (!f.default_json.empty())
    out[f.name] = json::parse(f.default_json);
}

}  // namespace

void add_violation(violations& out, std::string_view type, json::array where,
                   std::string_view message, json::value input, json::object context) {
  keep_finite(input);
  json::object entry{
      {"type", type}, {"loc", std::move(where)}, {"msg", message}, {"input", std::move(input)}};
  if (!context.empty())
    entry["ctx"] = std::move(context);
  out.emplace_back(std::move(entry));
}

json::object validate_body(const schema& shape, const json::value& body, violations& wrong) {
  json::object out;
  if (!body.is_object()) {
    add_violation(wrong, "model_attributes_type", {"body"},
                  "Input should be a valid dictionary or object to extract fields from", body);
    return out;
  }
  const auto& object = body.get_object();
  for (const auto& f : shape.fields) {
    const json::array where{"body", f.name};
    const auto* x = object.if_contains(f.name);
    if (x == nullptr) {
      if (f.required)
        add_violation(wrong, "missing", where, "Field required", body);
      else
        fill_default(f, out);
    } else if (x->is_null() && f.nullable) {
      out[f.name] = nullptr;
    } else if (auto value = converted(f, *x)) {
      check_value(f, *value, where, wrong);
      out[f.name] = std::move(*value);
    } else {
      add_violation(wrong, type_error(f.type), where, type_message(f.type), *x);
    }
  }
  return out;
}

json::object parse_body(const schema& shape, std::string_view text, violations& wrong) {
  if (text.empty()) {
    add_violation(wrong, "missing", {"body"}, "Field required", nullptr);
    return {};
  }
  json::parse_options options;
  options.max_depth = max_json_depth;
  json::stream_parser parser{{}, options};
  json::error_code error;
  const auto read = parser.write_some(text.data(), text.size(), error);
  if (!error && parser.done() && text.find_first_not_of(" \t\r\n", read) != std::string_view::npos)
    error = json::error::extra_data;
  if (!error && !parser.done())
    parser.finish(error);
  if (error) {
    add_violation(wrong, "json_invalid", {"body", read}, "JSON decode error", json::object{},
                  {{"error", error.message()}});
    return {};
  }
  const auto value = parser.release();
  if (!all_finite(value)) {
    add_violation(wrong, "json_invalid", {"body", read}, "JSON decode error", json::object{},
                  {{"error", "a number is too large"}});
    return {};
  }
  return validate_body(shape, value, wrong);
}

std::optional<std::string> percent_decoded(std::string_view text, bool plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      unsigned byte = 0;
      if (i + 2 >= text.size())
        return std::nullopt;
      const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
      if (error != std::errc{} || end != text.data() + i + 3)
        return std::nullopt;
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += plus && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    const auto equals = part.find('=');
    if (percent_decoded(part.substr(0, equals), true) == name) {
      // A malformed escape stays as it is: so the value is refused by who reads it, not taken for
      // absent.
      const auto text = equals == std::string_view::npos ? "" : part.substr(equals + 1);
      return percent_decoded(text, true).value_or(std::string{text});
    }
  }
  return std::nullopt;
}

json::object parse_query(std::span<const field> fields, std::string_view query, violations& wrong) {
  json::object out;
  for (const auto& f : fields) {
    const json::array where{"query", f.name};
    const auto text = query_value(query, f.name);
    if (!text) {
      if (f.required)
        add_violation(wrong, "missing", where, "Field required", nullptr);
      else
        fill_default(f, out);
      continue;
    }
    // Neither the database nor an answer takes it, so it is not shown either.
    if (!http::valid_utf8(*text)) {
      add_violation(wrong, "string_unicode", where, "Input should be valid UTF-8", nullptr);
      continue;
    }
    json::value value = json::string(*text);
    if (f.type == value_type::integer) {
      int64_t number = 0;
      const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
      if (error != std::errc{} || end != text->data() + text->size()) {
        add_violation(wrong, "int_parsing", where,
                      "Input should be a valid integer, unable to parse string as an integer",
                      json::string(*text));
        continue;
      }
      value = number;
    } else if (f.type == value_type::boolean) {
      const auto b = as_boolean(value);
      if (!b) {
        add_violation(wrong, "bool_parsing", where, type_message(f.type), json::string(*text));
        continue;
      }
      value = *b;
    }
    check_value(f, value, where, wrong);
    out[f.name] = std::move(value);
  }
  return out;
}

json::object to_json_schema(const field& x) {
  static constexpr std::string_view names[] = {"string",  "integer", "number",
                                               "boolean", "object",  "array"};
  json::object out;
  if (x.type != value_type::any) {
    const auto name = names[static_cast<size_t>(x.type)];
    if (x.nullable)
      out["type"] = json::array{name, "null"};
    else
      out["type"] = name;
  }
  if (!x.meaning.empty())
    out["description"] = x.meaning;
  if (!x.default_json.empty())
    out["default"] = json::parse(x.default_json);
  if (x.least)
    out["minimum"] = *x.least;
  if (x.most && !x.clamp)
    out["maximum"] = *x.most;
  if (x.max_bytes > 0)
    out["maxLength"] = x.max_bytes;
  if (!x.one_of.empty()) {
    json::array examples;
    for (auto v : x.one_of)
      examples.emplace_back(v);
    out["examples"] = std::move(examples);
  }
  if (x.type == value_type::array)
    out["items"] = json::object{};
  return out;
}

json::object to_json_schema(const schema& x) {
  json::object properties;
  json::array required;
  for (const auto& f : x.fields) {
    properties[f.name] = to_json_schema(f);
    if (f.required)
      required.emplace_back(f.name);
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty())
    out["required"] = std::move(required);
  return out;
}

}  // namespace kgents::gateway
