#include "actors/contexts/void/contract.hpp"

#include <algorithm>

#include "actors/persona/text.hpp"

namespace kgents::actors::void_nodes {

namespace json = boost::json;

namespace {

/// A text or a list of texts, none of them empty; false when it is neither.
bool take_texts(const json::value& x, std::vector<std::string>& into) {
  if (x.is_string() && !x.get_string().empty()) {
    into.emplace_back(x.get_string());
    return true;
  }
  if (!x.is_array() || x.get_array().size() > contract_most_texts)
    return false;
  for (const auto& y : x.get_array()) {
    if (!y.is_string() || y.get_string().empty())
      return false;
    into.emplace_back(y.get_string());
  }
  return true;
}

bool take_length(const json::value& x, size_t& into) {
  if (!x.is_int64() || x.get_int64() < 0 || x.get_int64() > 1'000'000)
    return false;
  into = static_cast<size_t>(x.get_int64());
  return true;
}

bool take_text(const json::value& x, std::string& into) {
  if (!x.is_string())
    return false;
  into = x.get_string();
  return true;
}

/// False when the member is not known or not of its type.
bool take_member(std::string_view name, const json::value& x, contract& into) {
  if (name == "contains")
    return take_texts(x, into.contains);
  if (name == "excludes")
    return take_texts(x, into.excludes);
  if (name == "starts_with")
    return take_text(x, into.starts_with);
  if (name == "ends_with")
    return take_text(x, into.ends_with);
  if (name == "min_length")
    return take_length(x, into.min_length);
  size_t most = 0;
  if (name != "max_length" || !take_length(x, most))
    return false;
  into.max_length = most;
  return true;
}

size_t code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string quoted(std::string_view what, std::string_view text) {
  return std::string{what} + " '" + std::string{text} + "'";
}

}  // namespace

std::variant<contract, std::string> parse_contract(const json::value& x) {
  contract out;
  if (x.is_null() || (x.is_string() && x.get_string().empty()))
    return out;
  if (x.is_string()) {
    out.contains.emplace_back(x.get_string());
    return out;
  }
  if (!x.is_object())
    return std::string{"ensure must be a text or an object"};
  for (const auto& member : x.get_object())
    if (!take_member(member.key(), member.value(), out))
      return "ensure." + std::string{member.key()} +
             " is not of a form that can be checked; contains, excludes, starts_with, ends_with "
             "(texts), min_length and max_length (integers) are";
  return out;
}

std::vector<contract_check> check_contract(const contract& x, std::string_view text) {
  const auto lower = persona::folded(text);
  std::vector<contract_check> out;
  for (const auto& part : x.contains)
    out.push_back({quoted("contains", part), lower.find(persona::folded(part)) != lower.npos});
  for (const auto& part : x.excludes)
    out.push_back({quoted("excludes", part), lower.find(persona::folded(part)) == lower.npos});
  if (!x.starts_with.empty())
    out.push_back(
        {quoted("starts with", x.starts_with), lower.starts_with(persona::folded(x.starts_with))});
  if (!x.ends_with.empty())
    out.push_back(
        {quoted("ends with", x.ends_with), lower.ends_with(persona::folded(x.ends_with))});
  const auto length = code_points(text);
  if (x.min_length > 0)
    out.push_back(
        {"has at least " + std::to_string(x.min_length) + " characters", length >= x.min_length});
  if (x.max_length)
    out.push_back(
        {"has at most " + std::to_string(*x.max_length) + " characters", length <= *x.max_length});
  return out;
}

bool satisfies(const contract& x, std::string_view text) {
  const auto all = check_contract(x, text);
  return std::all_of(all.begin(), all.end(), [](const auto& one) { return one.passed; });
}

std::string spoken_contract(const contract& x) {
  std::string out;
  for (const auto& one : check_contract(x, {}))
    out += (out.empty() ? "A solution " : ", and ") + one.check;
  return out.empty() ? out : out + ".";
}

}  // namespace kgents::actors::void_nodes
