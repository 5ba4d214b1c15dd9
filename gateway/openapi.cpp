#include "gateway/openapi.hpp"

#include <boost/json/serialize.hpp>

#include "gateway/route.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

json::object reference(const schema& x) {
  return {{"$ref", "#/components/schemas/" + std::string{x.name}}};
}

json::object content(std::string_view type, json::value shape) {
  return {{std::string{type}, json::object{{"schema", std::move(shape)}}}};
}

json::object problem(std::string_view description) {
  return {{"description", description},
          {"content",
           content("application/json", json::object{{"$ref", "#/components/schemas/Problem"}})}};
}

std::string_view name_of(scope x) {
  switch (x) {
    case scope::read:
      return "read";
    case scope::write:
      return "write";
    case scope::admin:
      return "admin";
    case scope::billing:
      return "billing";
    case scope::none:
      break;
  }
  return "";
}

bool is_agentese(const route& r) { return r.tag.starts_with("agentese"); }

/// A `{path*}` stands for several segments, which OpenAPI has no word for.
std::string documented_path(const route& r) {
  std::string out{r.path};
  std::erase(out, '*');
  return out;
}

/// POST /v1/kgent/sessions/{id}/messages -> post_v1_kgent_sessions_id_messages
std::string operation_id(const route& r) {
  std::string out;
  for (const char c : r.method)
    out += static_cast<char>(c | 0x20);
  for (const char c : documented_path(r))
    if (c == '/' || c == '.' || c == '-')
      out += '_';
    else if (c != '{' && c != '}')
      out += c;
  if (out.back() == '_')
    out += "root";
  return out;
}

/// Who looks, and what it may prove.
constexpr std::string_view observer_headers[] = {
    "X-Observer-Archetype", "X-Observer-Id", "X-Observer-Capabilities", "X-Agentese-Capability"};

json::array parameters_of(const route& r) {
  json::array out;
  for (auto rest = r.path; rest.find('{') != std::string_view::npos;) {
    const auto open = rest.find('{');
    const auto close = rest.find('}');
    auto name = rest.substr(open + 1, close - open - 1);
    json::object parameter{{"in", "path"}, {"required", true}};
    json::object shape{{"type", "string"}};
    if (name == "id" || name.ends_with("_id"))
      shape["format"] = "uuid";
    if (name.ends_with('*')) {
      name.remove_suffix(1);
      parameter["description"] = "One or more segments between slashes: self/memory";
    }
    parameter["name"] = name;
    parameter["schema"] = std::move(shape);
    out.push_back(std::move(parameter));
    rest.remove_prefix(close + 1);
  }
  if (r.tag == "agentese-universal-protocol" || r.tag == "agentese-gateway")
    for (const auto name : observer_headers)
      out.push_back(json::object{{"name", name},
                                 {"in", "header"},
                                 {"required", false},
                                 {"schema", json::object{{"type", "string"}}}});
  for (const auto& f : r.query)
    out.push_back(json::object{{"name", f.name},
                               {"in", "query"},
                               {"required", f.required},
                               {"description", f.meaning},
                               {"schema", to_json_schema(f)}});
  const bool joins = r.metered && r.body != nullptr && r.tag == "kgent";
  if (joins || r.once)
    out.push_back(json::object{
        {"name", "Idempotency-Key"},
        {"in", "header"},
        {"required", false},
        {"description", joins ? "The same key again joins what the first request started."
                              : "The same key again within 24 h gets the first answer (409 while "
                                "it is being made, 422 with another request)."},
        {"schema", json::object{{"type", "string"}, {"minLength", 1}, {"maxLength", 255}}}});
  return out;
}

json::object responses_of(const route& r) {
  json::object success{{"description", r.success == 101 ? "Switching protocols" : "Done"}};
  if (r.success != 101 && r.success != 204) {
    json::object body;
    if (r.answer_type != "application/json")
      body = content(r.answer_type, json::object{{"type", "string"}});
    if (r.answer != nullptr)
      body["application/json"] = json::object{{"schema", reference(*r.answer)}};
    else if (r.answer_type == "application/json")
      body = content("application/json", json::object{{"type", "object"}});
    success["content"] = std::move(body);
  }
  json::object out{{std::to_string(r.success), std::move(success)}};
  if (r.who == access::platform) {
    out["404"] = problem("There is none, or the key is not the operator's");
    if (r.method == "POST") {
      out["409"] = problem("It has been asked already");
      out["503"] = problem("The database is busy or away; Retry-After");
    }
  } else if (r.who != access::open) {
    out["401"] = problem("No valid API key");
    out["429"] = problem("A limit is reached; Retry-After says for how long");
    out["503"] = problem("The server or its database is busy or away; Retry-After");
  }
  if (r.tag == "administration" && r.method != "GET") {
    out["400"] = problem("A value is not what it should be");
    out["409"] = problem("It would be a duplicate, or leave the tenant without an owner");
  }
  if (r.needs != scope::none)
    out["403"] = problem("The key lacks the scope, or the plan the permission");
  if (r.who != access::platform &&
      (r.path.find('{') != std::string_view::npos || is_agentese(r))) {
    out["400"] = problem("An id, a cursor or a value is malformed");
    out["404"] = problem("There is none, or it is not yours");
  }
  if (is_agentese(r) && r.metered) {
    out["402"] = problem("The pool of entropy, or the capital, does not suffice");
    out["451"] = problem("The aspect declined: its answer, which charges nothing");
    out["504"] = problem("The aspect took too long");
  }
  if (r.once && !out.contains("409"))
    out["409"] = problem("A request with this Idempotency-Key is under way; Retry-After");
  if (r.once && !out.contains("400"))
    out["400"] = problem("A value is malformed");
  if (r.body != nullptr || !r.query.empty() || r.once)
    out["422"] = problem("Body or query does not fit; detail is a list");
  return out;
}

/// Who may: the schemes a credential can come in, each with the scope it needs, which OpenAPI 3.1
/// has as a role.
json::array security_of(const route& r) {
  if (r.who == access::open)
    return {};
  if (r.who == access::platform)
    return {json::object{{"platformKey", json::array{}}}};
  json::array scopes;
  if (r.needs != scope::none)
    scopes.emplace_back(name_of(r.needs));
  json::array out{json::object{{"apiKey", scopes}}, json::object{{"bearer", scopes}}};
  if (r.who == access::query_key)
    out.push_back(json::object{{"queryKey", scopes}});
  return out;
}

json::object operation(const route& r) {
  json::object out{{"operationId", operation_id(r)},
                   {"tags", json::array{r.tag}},
                   {"summary", r.summary},
                   {"responses", responses_of(r)}};
  if (auto parameters = parameters_of(r); !parameters.empty())
    out["parameters"] = std::move(parameters);
  if (r.body != nullptr)
    out["requestBody"] = json::object{{"required", !r.body_optional},
                                      {"content", content("application/json", reference(*r.body))}};
  if (r.free_body)
    out["requestBody"] = json::object{
        {"required", false},
        {"content", content("application/json", json::object{{"type", "object"}})}};
  out["security"] = security_of(r);
  return out;
}

json::object document() {
  json::object paths;
  json::object schemas{
      {"Problem",
       json::object{{"type", "object"},
                    {"properties",
                     json::object{{"detail", json::object{{"type", json::array{"string", "array",
                                                                               "object"}}}}}},
                    {"required", json::array{"detail"}}}}};
  for (const auto& r : all_routes()) {
    auto& path = paths[documented_path(r)];
    if (!path.is_object())
      path = json::object{};
    std::string method{r.method};
    for (auto& c : method)
      c = static_cast<char>(c | 0x20);
    path.as_object()[method] = operation(r);
    for (const auto* x : {r.body, r.answer})
      if (x != nullptr)
        schemas[x->name] = to_json_schema(*x);
  }
  json::object security{
      {"apiKey", json::object{{"type", "apiKey"}, {"in", "header"}, {"name", "X-API-Key"}}},
      {"bearer", json::object{{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", "JWT"}}},
      {"queryKey",
       json::object{{"type", "apiKey"},
                    {"in", "query"},
                    {"name", "api_key"},
                    {"description", "The same key, for browsers' event sources and sockets."}}},
      {"platformKey",
       json::object{{"type", "apiKey"},
                    {"in", "header"},
                    {"name", "X-API-Key"},
                    {"description", "The operator's: KGENTS_PLATFORM_KEY. With any other key, or "
                                    "none, these routes answer 404."}}}};
  return {{"openapi", "3.1.0"},
          {"info", json::object{{"title", api_title},
                                {"version", api_version},
                                {"description", api_description},
                                {"license", json::object{{"name", "Apache-2.0"},
                                                         {"identifier", "Apache-2.0"}}}}},
          {"security", json::array{json::object{{"apiKey", json::array{}}},
                                   json::object{{"bearer", json::array{}}}}},
          {"tags", json::array{json::object{{"name", "system"}}, json::object{{"name", "cluster"}},
                               json::object{{"name", "cdc"}},
                               json::object{{"name", "kgent"}}, json::object{{"name", "soul"}},
                               json::object{{"name", "agentese"}},
                               json::object{{"name", "agentese-universal-protocol"}},
                               json::object{{"name", "agentese-gateway"}},
                               json::object{{"name", "usage"}},
                               json::object{{"name", "administration"}}}},
          {"paths", std::move(paths)},
          {"components", json::object{{"schemas", std::move(schemas)},
                                      {"securitySchemes", std::move(security)}}}};
}

}  // namespace

const std::string& openapi_document() {
  static const std::string text = json::serialize(document());
  return text;
}

}  // namespace kgents::gateway
