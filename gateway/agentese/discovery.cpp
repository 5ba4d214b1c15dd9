#include "gateway/agentese/discovery.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cmath>

namespace kgents::gateway {

namespace json = boost::json;

namespace {

json::value or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::array texts(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

json::array effects_of(const actors::aspect_entry& x) { return texts(to_texts(x.effects)); }

json::object metadata_of(const actors::node_entry& node) {
  json::array aspects, examples;
  json::object details;
  agentese::effects all;
  for (const auto& x : node.aspects()) {
    if (x.spec->internal)
      continue;
    aspects.emplace_back(x.name());
    all = agentese::compose(std::move(all), x.effects);
    if (!x.spec->example.empty())
      examples.emplace_back(
          json::object{{"aspect", x.name()}, {"kwargs", json::parse(x.spec->example)}});
    details[x.name()] = json::object{{"category", to_string(x.spec->category)},
                                     {"requiredCapability", or_null(needed_capability(node, x))},
                                     {"effects", effects_of(x)},
                                     {"description", x.spec->help},
                                     {"archetypes", texts(x.archetypes)},
                                     {"streaming", x.spec->streaming},
                                     {"idempotent", x.spec->idempotent}};
  }
  // The charges of a node are those of its aspects; their sum would mean nothing.
  all.charges.clear();
  return {{"path", node.path()},
          {"description", node.spec().description},
          {"aspects", std::move(aspects)},
          {"effects", texts(to_texts(all))},
          {"examples", std::move(examples)},
          {"aspectMetadata", std::move(details)}};
}

json::object schemas_of(const actors::node_entry& node) {
  json::object out;
  for (const auto& x : node.aspects())
    if (!x.spec->internal)
      out[x.name()] = json::object{{"request", x.request_schema}, {"response", x.response_schema}};
  return out;
}

bool has_contract(const actors::node_entry& node) {
  return std::any_of(node.aspects().begin(), node.aspects().end(), [](const auto& x) {
    const auto* shape = x.response_schema.if_object();
    return !x.spec->args.empty() || (shape != nullptr && !shape->empty());
  });
}

json::object coverage(const actors::registry& nodes) {
  const auto all = nodes.list();
  const auto with = static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [](const auto* x) { return has_contract(*x); }));
  const auto share =
      all.empty() ? 0.0 : 100.0 * static_cast<double>(with) / static_cast<double>(all.size());
  return {{"paths_with_contracts", with},
          {"total_paths", all.size()},
          {"coverage_pct", std::round(share * 10) / 10}};
}

void add_paths(json::object& out, const std::vector<const actors::node_entry*>& all) {
  json::array paths, forms;
  for (const auto* x : all)
    (x->wildcard() ? forms : paths).emplace_back(x->path());
  out["paths"] = std::move(paths);
  out["forms"] = std::move(forms);
}

}  // namespace

std::string_view needed_capability(const actors::node_entry& node,
                                   const actors::aspect_entry& aspect) {
  using enum actors::aspect_category;
  if (!aspect.spec->required_capability.empty())
    return aspect.spec->required_capability;
  const auto category = aspect.spec->category;
  return (category == mutation || category == generation) && !node.spec().read_suffices ? "write"
                                                                                        : "";
}

json::object discover(const actors::registry& nodes, const discovery_request& ask) {
  json::object out;
  const auto all = nodes.list();
  add_paths(out, all);
  out["stats"] = nodes.stats();
  if (ask.metadata) {
    json::object metadata;
    for (const auto* x : all)
      metadata[x->path()] = metadata_of(*x);
    out["metadata"] = std::move(metadata);
  }
  if (ask.schemas) {
    json::object schemas;
    for (const auto* x : all)
      schemas[x->path()] = schemas_of(*x);
    out["schemas"] = std::move(schemas);
    out["contract_coverage"] = coverage(nodes);
  }
  return out;
}

json::object discover(const actors::registry& nodes, agentese::context x) {
  json::object out{{"context", agentese::to_string(x)}};
  add_paths(out, nodes.by_context(x));
  return out;
}

}  // namespace kgents::gateway
