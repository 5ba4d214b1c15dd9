// What needs no key: what this is, how it is, its documents (http-api.md section 5, operations.md
// sections 1 and 2).

#include <boost/json/serialize.hpp>

#include "gateway/docs.hpp"
#include "gateway/openapi.hpp"
#include "gateway/route.hpp"
#include "gateway/shapes.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

void root(const call_ptr& c) {
  static const std::string text = json::serialize(json::object{
      {"name", api_title},
      {"version", api_version},
      {"description", api_description},
      {"docs", "/docs"},
      {"health", "/health"},
      {"endpoints",
       json::object{{"soul", json::object{{"governance", "/v1/soul/governance"},
                                          {"dialogue", "/v1/soul/dialogue"}}},
                    {"agentese", json::object{{"invoke", "/v1/agentese/invoke"},
                                              {"resolve", "/v1/agentese/resolve"},
                                              {"affordances", "/v1/agentese/affordances"}}},
                    {"aup", json::object{{"manifest", "/api/v1/{context}/{holon}/manifest"},
                                         {"invoke", "/api/v1/{context}/{holon}/{aspect}"},
                                         {"affordances", "/api/v1/{context}/{holon}/affordances"},
                                         {"compose", "/api/v1/compose"},
                                         {"stream", "/api/v1/{context}/{holon}/{aspect}/stream"},
                                         {"resolve", "/api/v1/{context}/{holon}/resolve"},
                                         {"verify_laws", "/api/v1/verify-laws"}}},
                    {"kgent", json::object{{"sessions", "/v1/kgent/sessions"},
                                           {"messages", "/v1/kgent/sessions/{id}/messages"}}},
                    {"webhooks", json::object{{"stripe", "/webhooks/stripe"},
                                              {"stripe_health", "/webhooks/stripe/health"}}}}}});
  c->reply(200, text);
}

void health(const call_ptr& c) {
  const auto& llm = c->at.config.llm;
  const bool model = std::any_of(llm.begin(), llm.end(), [](runtime::provider_kind x) {
    return x != runtime::provider_kind::embedded;
  });
  // What is configured: no network I/O here (operations.md section 1); /ready asks the database.
  c->reply(
      200,
      model
          ? R"({"status":"ok","version":"v1","has_llm":true,"components":{"soul":"ok","llm":"ok","auth":"ok","metering":"ok"}})"
          : R"({"status":"degraded","version":"v1","has_llm":false,"components":{"soul":"ok","llm":"not_configured","auth":"ok","metering":"ok"}})");
}

void saas(const call_ptr& c) { c->reply_json(200, saas_health(c->at.saas)); }

void live(const call_ptr& c) { c->reply(200, R"({"status":"ok"})"); }

void ready(const call_ptr& c) {
  if (c->at.ready.database && c->at.ready.member && !c->at.ready.draining)
    c->reply(200, R"({"status":"ok"})");
  else
    c->reply(503, R"({"status":"unavailable"})", "application/json", "Retry-After: 1\r\n");
}

void metrics(const call_ptr& c) {
  c->reply(200, c->at.metrics.render(), "text/plain; version=0.0.4; charset=utf-8");
}

void openapi(const call_ptr& c) { c->reply(200, openapi_document()); }

void docs(const call_ptr& c) {
  static const std::string lines = "Content-Security-Policy: " + docs_policy() + "\r\n";
  c->reply(200, std::string{docs_page()}, "text/html; charset=utf-8", lines);
}

constexpr std::string_view html = "text/html; charset=utf-8";

const route table[] = {
    {.method = "GET",
     .path = "/",
     .tag = "system",
     .summary = "What this is and where to go",
     .who = access::open,
     .answer = &root_shape,
     .handle = root},
    {.method = "GET",
     .path = "/health",
     .tag = "system",
     .summary = "How the parts are",
     .who = access::open,
     .answer = &health_shape,
     .handle = health},
    {.method = "GET",
     .path = "/health/saas",
     .tag = "system",
     .summary = "How the event bus, the metering client, Stripe and Redis are",
     .who = access::open,
     .answer = &saas_health_shape,
     .handle = saas},
    {.method = "GET",
     .path = "/live",
     .tag = "system",
     .summary = "The process answers (liveness probe)",
     .who = access::open,
     .answer = &probe_shape,
     .handle = live},
    {.method = "GET",
     .path = "/ready",
     .tag = "system",
     .summary = "It may be sent requests (readiness probe); 503 while the database is away",
     .who = access::open,
     .answer = &probe_shape,
     .handle = ready},
    {.method = "GET",
     .path = "/metrics",
     .tag = "system",
     .summary = "Prometheus metrics",
     .who = access::open,
     .answer_type = "text/plain",
     .handle = metrics},
    {.method = "GET",
     .path = "/openapi.json",
     .tag = "system",
     .summary = "This document",
     .who = access::open,
     .handle = openapi},
    {.method = "GET",
     .path = "/docs",
     .tag = "system",
     .summary = "The reference as a page",
     .who = access::open,
     .answer_type = html,
     .handle = docs},
    {.method = "GET",
     .path = "/redoc",
     .tag = "system",
     .summary = "The reference as a page",
     .who = access::open,
     .answer_type = html,
     .handle = docs},
};

}  // namespace

std::span<const route> system_routes() { return table; }

}  // namespace kgents::gateway
