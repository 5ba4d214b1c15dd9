#include "actors/contexts/concept/lineage.hpp"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <optional>
#include <set>

#include "protocol/agentese/path.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

using names = std::vector<std::string>;

bool has(const names& list, std::string_view x) {
  return std::find(list.begin(), list.end(), x) != list.end();
}

void add(names& to, const names& more) {
  for (const auto& x : more)
    if (!has(to, x))
      to.push_back(x);
}

constexpr std::pair<std::string_view, std::string_view> opposed[] = {
    {"mutable", "immutable"},
    {"sync", "async"},
    {"pure", "impure"},
    {"deterministic", "stochastic"}};

const lineage* find(const lineages& known, std::string_view handle) {
  if (const auto* x = standard_parent(handle))
    return x;
  const auto at = known.find(handle);
  return at == known.end() ? nullptr : &at->second;
}

/// The first handle on a way up from the parents that the new concept is to stand above, itself
/// included.
std::optional<std::string> cycle(const lineage_request& ask, const lineages& known) {
  names below = ask.subsumes;
  below.push_back(ask.handle);
  std::set<std::string> seen;
  names open = ask.extends;
  while (!open.empty()) {
    auto x = std::move(open.back());
    open.pop_back();
    if (has(below, x))
      return x;
    if (!seen.insert(x).second)
      continue;
    if (const auto* up = find(known, x))
      for (auto& y : above(*up))
        open.push_back(std::move(y));
  }
  return std::nullopt;
}

json::array array_of(const names& x) {
  json::array out;
  for (const auto& y : x)
    out.emplace_back(y);
  return out;
}

names names_in(const json::object& x, std::string_view member) {
  names out;
  if (const auto* list = x.if_contains(member); list != nullptr && list->is_array())
    for (const auto& y : list->get_array())
      if (y.is_string())
        out.emplace_back(y.get_string());
  return out;
}

std::string text_in(const json::object& x, std::string_view member) {
  const auto* y = x.if_contains(member);
  return y != nullptr && y->is_string() ? std::string{y->get_string()} : std::string{};
}

std::string domain_of(std::string_view handle) {
  const auto dot = handle.find('.');
  const auto rest = dot == std::string_view::npos ? std::string_view{} : handle.substr(dot + 1);
  const auto end = rest.find('.');
  return end == std::string_view::npos ? "general" : std::string{rest.substr(0, end)};
}

}  // namespace

std::span<const lineage> standard_parents() {
  static const auto all = [] {
    const names base{"manifest", "define", "relate", "refine", "witness"};
    const auto make = [&](std::string handle, int64_t depth, const names& more, names constraints) {
      lineage out;
      out.handle = std::move(handle);
      if (depth > 0)
        out.extends = {"concept"};
      out.affordances = base;
      add(out.affordances, more);
      out.constraints = std::move(constraints);
      out.created_by = "system";
      out.depth = depth;
      return out;
    };
    return std::array<lineage, 5>{
        make("concept", 0, {}, {}), make("concept.entity", 1, {"identify"}, {}),
        make("concept.process", 1, {"execute", "compose"}, {"has_input", "has_output"}),
        make("concept.relation", 1, {"connect", "traverse"}, {"has_source", "has_target"}),
        make("concept.property", 1, {"measure"}, {"has_domain"})};
  }();
  return all;
}

const lineage* standard_parent(std::string_view handle) {
  for (const auto& x : standard_parents())
    if (x.handle == handle)
      return &x;
  return nullptr;
}

std::vector<std::string> above(const lineage& x) {
  auto out = x.extends;
  add(out, x.subsumed_by);
  return out;
}

std::variant<lineage, agentese::error> derive(const lineage_request& ask, const lineages& known) {
  if (ask.extends.empty()) {
    auto none = agentese::errors::lineage(ask.handle, {});
    none.message = "'" + ask.handle + "' extends nothing: nothing comes from nothing";
    none.suggested_action = "name at least one parent in extends, such as concept.entity";
    return none;
  }
  names missing;
  for (const auto& x : ask.extends)
    if (find(known, x) == nullptr)
      missing.push_back(x);
  if (!missing.empty())
    return agentese::errors::lineage(ask.handle, missing);
  if (const auto at = cycle(ask, known))
    return agentese::errors::lattice(
        ask.handle, "cycle", "'" + *at + "' would be both above and below '" + ask.handle + "'");

  lineage out;
  bool constrained = false;
  for (const auto& name : ask.extends) {
    const auto& parent = *find(known, name);
    add(out.affordances, parent.affordances);
    out.depth = std::max(out.depth, parent.depth);
    if (parent.constraints.empty())
      continue;  // asks for nothing, so it excludes nothing
    if (!std::exchange(constrained, true))
      out.constraints = parent.constraints;
    else
      std::erase_if(out.constraints, [&](const auto& x) { return !has(parent.constraints, x); });
  }
  add(out.affordances, ask.affordances);
  for (const auto& [one, other] : opposed)
    if (has(out.affordances, one) && has(out.affordances, other))
      return agentese::errors::lattice(
          ask.handle, "affordance_conflict",
          "it would be both '" + std::string{one} + "' and '" + std::string{other} + "'");
  if (constrained && out.constraints.empty())
    return agentese::errors::lattice(ask.handle, "empty_constraints",
                                     "its parents share none of their constraints");
  add(out.constraints, ask.constraints);
  out.handle = ask.handle;
  out.extends = ask.extends;
  out.subsumes = ask.subsumes;
  if (const auto at = known.find(ask.handle); at != known.end())
    out.subsumed_by = at->second.subsumed_by;
  out.justification = ask.justification;
  out.created_by = ask.created_by;
  out.created_at = ask.created_at;
  out.domain = ask.domain.empty() ? domain_of(ask.handle) : ask.domain;
  ++out.depth;
  return out;
}

json::object to_json(const lineage& x) {
  return {{"handle", x.handle},
          {"extends", array_of(x.extends)},
          {"subsumes", array_of(x.subsumes)},
          {"subsumed_by", array_of(x.subsumed_by)},
          {"justification", x.justification},
          {"affordances", array_of(x.affordances)},
          {"constraints", array_of(x.constraints)},
          {"created_by", x.created_by},
          {"created_at", x.created_at},
          {"domain", x.domain},
          {"depth", x.depth}};
}

lineage lineage_from(const json::value& from) {
  lineage out;
  if (!from.is_object())
    return out;
  const auto& x = from.get_object();
  out.handle = text_in(x, "handle");
  out.extends = names_in(x, "extends");
  out.subsumes = names_in(x, "subsumes");
  out.subsumed_by = names_in(x, "subsumed_by");
  out.justification = text_in(x, "justification");
  out.affordances = names_in(x, "affordances");
  out.constraints = names_in(x, "constraints");
  out.created_by = text_in(x, "created_by");
  out.created_at = text_in(x, "created_at");
  if (auto domain = text_in(x, "domain"); !domain.empty())
    out.domain = std::move(domain);
  if (const auto* depth = x.if_contains("depth"); depth != nullptr && depth->is_int64())
    out.depth = depth->get_int64();
  return out;
}

}  // namespace kgents::actors
