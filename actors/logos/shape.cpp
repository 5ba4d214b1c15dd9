#include "actors/logos/shape.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// Recursive descent; shapes are written by us and are a few levels deep.
class shape_parser {
public:
  explicit shape_parser(std::string_view text) : rest_{text} {}

  std::optional<json::value> all() {
    auto out = alternatives();
    skip();
    return rest_.empty() ? out : std::nullopt;
  }

private:
  void skip() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n'))
      rest_.remove_prefix(1);
  }
  bool take(char c) {
    skip();
    if (rest_.empty() || rest_.front() != c)
      return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view word() {
    skip();
    size_t n = 0;
    while (n < rest_.size() && (std::isalnum(static_cast<unsigned char>(rest_[n])) != 0 || rest_[n] == '_'))
      ++n;
    const auto out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }

  std::optional<json::value> alternatives() {
    json::array any;
    do {
      auto one = type();
      if (!one)
        return std::nullopt;
      any.push_back(std::move(*one));
    } while (take('|'));
    if (any.size() == 1)
      return std::move(any[0]);
    return json::object{{"anyOf", std::move(any)}};
  }

  std::optional<json::value> type() {
    if (take('['))
      return list();
    if (take('{'))
      return object();
    if (take('\''))
      return literal();
    const auto name = word();
    if (name == "any")
      return json::object{};
    for (const std::string_view known :
         {"string", "integer", "number", "boolean", "object", "array", "null"})
      if (name == known)
        return json::object{{"type", name}};
    return std::nullopt;
  }

  std::optional<json::value> list() {
    auto items = alternatives();
    if (!items || !take(']'))
      return std::nullopt;
    return json::object{{"type", "array"}, {"items", std::move(*items)}};
  }

  std::optional<json::value> literal() {
    const auto end = rest_.find('\'');
    if (end == std::string_view::npos)
      return std::nullopt;
    json::object out{{"const", rest_.substr(0, end)}};
    rest_.remove_prefix(end + 1);
    return out;
  }

  std::optional<json::value> object() {
    const auto before = rest_;
    if (const auto name = word(); name.empty() || !(take('?') || take(':')))
      return map_of(before);
    rest_ = before;
    json::object members;
    json::array required;
    do {
      const auto name = word();
      const bool optional = take('?');
      if (name.empty() || !take(':'))
        return std::nullopt;
      auto shape = alternatives();
      if (!shape)
        return std::nullopt;
      members[name] = std::move(*shape);
      if (!optional)
        required.emplace_back(name);
    } while (take(','));
    if (!take('}'))
      return std::nullopt;
    json::object out{{"type", "object"}, {"properties", std::move(members)}};
    if (!required.empty())
      out["required"] = std::move(required);
    return out;
  }

  std::optional<json::value> map_of(std::string_view from) {
    rest_ = from;
    auto each = alternatives();
    if (!each || !take('}'))
      return std::nullopt;
    return json::object{{"type", "object"}, {"additionalProperties", std::move(*each)}};
  }

  std::string_view rest_;
};

}  // namespace

std::optional<json::value> schema_of(std::string_view shape) { return shape_parser{shape}.all(); }

}  // namespace kgents::actors
