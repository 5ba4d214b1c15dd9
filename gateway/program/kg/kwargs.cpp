#include "gateway/program/kg/kwargs.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

namespace kgents::kg {

namespace json = boost::json;

namespace {

json::value value_of(std::string_view text) {
  json::error_code error;
  auto value = json::parse(text, error);
  return error ? json::value(text) : std::move(value);
}

std::string name_of(std::string_view option) {
  std::string out{option};
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

}  // namespace

std::variant<json::object, bad_usage> read_kwargs(std::span<const std::string> words) {
  json::object out;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (!word.starts_with("--") || word.size() == 2 || word[2] == '=')
      return bad_usage{"'" + words[i] + "' is no option; arguments of an aspect are --name value"};
    const auto equals = word.find('=');
    const auto name = name_of(word.substr(2, equals == word.npos ? equals : equals - 2));
    json::value value = true;
    if (equals != word.npos)
      value = value_of(word.substr(equals + 1));
    else if (i + 1 < words.size() && !words[i + 1].starts_with("--"))
      value = value_of(words[++i]);
    if (name != "kwargs") {
      out[name] = std::move(value);
      continue;
    }
    if (!value.is_object())
      return bad_usage{"--kwargs takes a JSON object, as '{\"depth\": 3}'"};
    for (auto& [key, member] : value.get_object())
      out[key] = std::move(member);
  }
  return out;
}

}  // namespace kgents::kg
