// The aspects as an OpenAPI document.

#include "gateway/agentese/discovery.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// world.agent.* -> /agentese/world/agent/{name}/build
std::string route_of(const actors::node_entry& node, std::string_view aspect) {
  std::string out = "/agentese/";
  for (const char c : node.path())
    out += c == '.' ? '/' : c;
  if (node.wildcard())
    out.replace(out.size() - 1, 1, "{name}");
  out += '/';
  out += aspect;
  return out;
}

json::array parameters_of(const actors::node_entry& node) {
  json::array out;
  if (node.wildcard())
    out.emplace_back(json::object{{"name", "name"},
                                  {"in", "path"},
                                  {"required", true},
                                  {"schema", json::object{{"type", "string"}}}});
  for (const auto* name : {"X-Observer-Archetype", "X-Observer-Capabilities"})
    out.emplace_back(json::object{{"name", name},
                                  {"in", "header"},
                                  {"required", false},
                                  {"schema", json::object{{"type", "string"}}}});
  return out;
}

/// The arguments of an aspect that is asked for with GET: texts, converted by the server.
void add_query(json::array& out, const actors::aspect_entry& aspect) {
  for (const auto& a : aspect.spec->args) {
    const auto& shape =
        aspect.request_schema.at("properties").as_object().at(json::string_view{a.name});
    out.emplace_back(json::object{
        {"name", a.name}, {"in", "query"}, {"required", a.required}, {"schema", shape}});
  }
}

json::object answer_of(std::string_view node, const actors::aspect_entry& aspect) {
  json::object shape{{"type", "object"},
                     {"properties", json::object{{"path", json::object{{"type", "string"}}},
                                                 {"aspect", json::object{{"const", aspect.name()}}},
                                                 {"result", aspect.response_schema}}},
                     {"required", json::array{"path", "aspect", "result"}}};
  const std::string what =
      "What " + std::string{node} + "." + std::string{aspect.name()} + " came to";
  const auto problem = [](std::string_view why) { return json::object{{"description", why}}; };
  return {{"200", json::object{{"description", what},
                               {"content", json::object{{"application/json",
                                                         json::object{{"schema", shape}}}}}}},
          {"400", problem("An argument or a name is malformed")},
          {"401", problem("No valid API key")},
          {"403", problem("Not afforded to the observer, or the key lacks a scope")},
          {"404", problem("No such node")},
          {"429", problem("A limit is reached; Retry-After says for how long")},
          {"451", problem("The aspect declined")}};
}

json::object extension_of(const actors::node_entry& node, const actors::aspect_entry& aspect) {
  json::array effects, archetypes;
  for (const auto& x : to_texts(aspect.effects))
    effects.emplace_back(x);
  for (const auto& x : aspect.archetypes)
    archetypes.emplace_back(x);
  const auto needed = needed_capability(node, aspect);
  return {{"path", node.path()},
          {"aspect", aspect.name()},
          {"category", to_string(aspect.spec->category)},
          {"effects", std::move(effects)},
          {"archetypes", std::move(archetypes)},
          {"requiredCapability", needed.empty() ? json::value(nullptr) : json::value(needed)},
          {"streaming", aspect.spec->streaming},
          {"idempotent", aspect.spec->idempotent}};
}

std::string operation_id(std::string_view method, const actors::node_entry& node,
                         std::string_view aspect) {
  std::string out{method};
  out += '_';
  for (const char c : node.path())
    out += c == '.' ? '_' : c == '*' ? 'x' : c;
  out += "__";
  out += aspect;
  return out;
}

json::object operation(std::string_view method, const actors::node_entry& node,
                       const actors::aspect_entry& aspect) {
  auto parameters = parameters_of(node);
  json::object out{{"operationId", operation_id(method, node, aspect.name())},
                   {"tags", json::array{agentese::to_string(node.context())}},
                   {"summary", aspect.spec->help.empty() ? aspect.name() : aspect.spec->help},
                   {"x-agentese", extension_of(node, aspect)},
                   {"responses", answer_of(node.path(), aspect)}};
  if (method == "get")
    add_query(parameters, aspect);
  else
    out["requestBody"] = json::object{
        {"required", false},
        {"content",
         json::object{{"application/json", json::object{{"schema", aspect.request_schema}}}}}};
  out["parameters"] = std::move(parameters);
  return out;
}

}  // namespace

json::object aspects_document(const actors::registry& nodes) {
  json::object paths;
  for (const auto* node : nodes.list())
    for (const auto& aspect : node->aspects()) {
      if (aspect.spec->internal)
        continue;
      auto& item = paths[route_of(*node, aspect.name())];
      item = json::object{};
      // What changes nothing may be read; manifest and affordances have no other form.
      if (!may_write(aspect.spec->category))
        item.as_object()["get"] = operation("get", *node, aspect);
      item.as_object()["post"] = operation("post", *node, aspect);
    }
  json::array tags;
  for (const auto name : agentese::context_names)
    tags.emplace_back(json::object{{"name", name}});
  return {{"openapi", "3.1.0"},
          {"info", json::object{{"title", "AGENTESE"},
                                {"version", "v1"},
                                {"description", "All registered nodes and their aspects"}}},
          {"security", json::array{json::object{{"apiKey", json::array{}}}}},
          {"tags", std::move(tags)},
          {"x-agentese", nodes.stats()},
          {"paths", std::move(paths)},
          {"components",
           json::object{{"securitySchemes",
                         json::object{{"apiKey", json::object{{"type", "apiKey"},
                                                              {"in", "header"},
                                                              {"name", "X-API-Key"}}}}}}}};
}

}  // namespace kgents::gateway
