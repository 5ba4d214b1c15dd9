// AGENTESE over /v1 (http-api.md section 6): the edge of it. No context is served by this version,
// so no path is registered, and a well-formed one is answered as what it is: not found.

#include <algorithm>

#include "gateway/route.hpp"

namespace kgents::gateway {

namespace {

constexpr field invoke_fields[] = {
    {.name = "path", .required = true, .meaning = "context.holon.aspect", .max_bytes = 1024},
    {.name = "observer", .type = value_type::object, .default_json = "{}"},
    {.name = "kwargs", .type = value_type::object, .default_json = "{}"},
};
constexpr schema invoke_body{"InvokeRequest", invoke_fields};

constexpr field resolve_query[] = {{.name = "path", .required = true, .max_bytes = 1024}};
constexpr field affordances_query[] = {
    {.name = "path", .required = true, .max_bytes = 1024},
    {.name = "archetype", .default_json = "\"developer\"", .max_bytes = 64},
};

/// Why `path` is none, or nothing: segments of lower-case letters, digits, '_' and '-', at least
/// two, between dots.
std::string_view syntax_error(std::string_view path) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  if (path.empty())
    return "it is empty";
  if (!std::all_of(path.begin(), path.end(), allowed))
    return "only a-z, 0-9, '_', '-' and '.' may stand in it";
  if (path.front() == '.' || path.back() == '.' || path.find("..") != std::string_view::npos)
    return "a segment is empty";
  if (path.find('.') == std::string_view::npos)
    return "it has one segment, context.holon is the least";
  return {};
}

void refuse_path(const call_ptr& c, std::string_view path, uint16_t malformed) {
  if (const auto wrong = syntax_error(path); !wrong.empty())
    c->refuse(malformed, "Invalid path: " + std::string{wrong});
  else
    c->refuse(404, "Path not found: nothing is registered at '" + std::string{path} + "'");
}

void invoke(const call_ptr& c) { refuse_path(c, c->text_of("path"), 400); }

void resolve(const call_ptr& c) { refuse_path(c, c->query.at("path").as_string(), 400); }

void affordances(const call_ptr& c) { refuse_path(c, c->query.at("path").as_string(), 404); }

constexpr std::string_view read_needed = "API key requires 'read' scope";

const route table[] = {
    {.method = "POST",
     .path = "/v1/agentese/invoke",
     .tag = "agentese",
     .summary = "Invoke an aspect of a path",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope for AGENTESE invoke",
     .body = &invoke_body,
     .handle = invoke},
    {.method = "GET",
     .path = "/v1/agentese/resolve",
     .tag = "agentese",
     .summary = "What a path stands for",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = resolve_query,
     .handle = resolve},
    {.method = "GET",
     .path = "/v1/agentese/affordances",
     .tag = "agentese",
     .summary = "What an observer may do at a path",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = affordances_query,
     .handle = affordances},
};

}  // namespace

std::span<const route> agentese_routes() { return table; }

}  // namespace kgents::gateway
