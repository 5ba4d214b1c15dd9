#include "actors/contexts/world/renderings.hpp"

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/world/entity_text.hpp"
#include "actors/contexts/world/valuation.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

std::string_view name_of(const stored_node& node) { return agentese::split_last(node.path).second; }

/// The state's member, or what stands for one that is not there.
json::value or_else(const json::object& state, std::string_view member, json::value otherwise) {
  const auto* x = state.if_contains(member);
  return x == nullptr ? std::move(otherwise) : *x;
}

json::object blueprint(const stored_node& node) {
  const auto& s = node.state;
  return {{"type", "blueprint"},
          {"dimensions", or_else(s, "dimensions", json::object{})},
          {"materials", or_else(s, "materials", json::array{})},
          {"structural_analysis",
           json::object{{"load_bearing", or_else(s, "load_bearing", json::array{})},
                        {"stress_points", or_else(s, "stress_points", json::array{})},
                        {"integrity", or_else(s, "integrity", 1.0)}}}};
}

json::object poem(const stored_node& node) {
  return {{"type", "poetic"},
          {"description", entity_text::description(node)},
          {"metaphors", or_else(node.state, "metaphors", json::array{})},
          {"mood", or_else(node.state, "mood", "contemplative")}};
}

json::object balance(const stored_node& node) {
  const auto worth = valued(node.state);
  return {{"type", "economic"},
          {"market_value", worth.value ? json::value(*worth.value) : json::value(nullptr)},
          {"comparable_sales", or_else(node.state, "trades", json::array{})},
          {"appreciation_forecast", worth.trend_text()}};
}

json::object workshop(const stored_node& node) {
  const auto& s = node.state;
  json::object structure;
  for (const auto& [name, x] : s)
    structure[name] = to_string(x.kind());
  return {{"type", "developer"},
          {"entity", name_of(node)},
          {"language", or_else(s, "language", nullptr)},
          {"dependencies", or_else(s, "dependencies", json::array{})},
          {"structure", or_else(s, "structure", std::move(structure))},
          {"build_status", or_else(s, "build_status", "unknown")},
          {"test_coverage", or_else(s, "test_coverage", 0)},
          {"issues", or_else(s, "issues", json::array{})}};
}

json::object office(const stored_node& node) {
  const auto& s = node.state;
  return {{"type", "admin"},
          {"entity", name_of(node)},
          {"status", or_else(s, "status", node.version == 0 ? "potential" : "active")},
          {"health", or_else(s, "health", or_else(s, "integrity", 1.0))},
          {"metrics", or_else(s, "metrics",
                              json::object{{"version", node.version},
                                           {"state_keys", s.size()},
                                           {"relations", node.relations.size()}})},
          {"config", or_else(s, "config", json::object{})},
          {"alerts", or_else(s, "alerts", json::array{})},
          {"last_updated",
           node.updated_at.empty() ? json::value(nullptr) : json::value(node.updated_at)}};
}

json::object plain(const stored_node& node) {
  const auto spec = text_in(node.definition, "spec");
  return {{"summary", "World_Entity: " + std::string{name_of(node)}},
          {"content", spec.empty() ? entity_text::description(node) : spec},
          {"metadata", json::object{{"entity_type", node.entity_type},
                                    {"handle", node.path},
                                    {"version", node.version}}}};
}

}  // namespace

json::object scientific_rendering(const stored_node& node) {
  const auto& s = node.state;
  return {{"type", "scientific"},
          {"entity", name_of(node)},
          {"measurements", or_else(s, "measurements", json::object{})},
          {"observations", or_else(s, "observations", json::array{})},
          {"hypotheses", or_else(s, "hypotheses", json::array{})},
          {"confidence", or_else(s, "confidence", 0.5)}};
}

json::object rendering(const stored_node& node, std::string_view archetype) {
  struct way {
    std::string_view archetype;
    json::object (*make)(const stored_node&);
  };
  static constexpr way ways[] = {{"architect", blueprint}, {"poet", poem},
                                 {"economist", balance},   {"scientist", scientific_rendering},
                                 {"developer", workshop},  {"admin", office}};
  auto make = plain;
  for (const auto& x : ways)
    if (persona::same_folded(x.archetype, archetype))
      make = x.make;
  auto out = make(node);
  if (!node.state.empty())
    out["state"] = node.state;
  return out;
}

}  // namespace kgents::actors
