#include "gateway/route.hpp"

#include <boost/json/serialize.hpp>

#include "gateway/administration.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

void append_number(std::string& out, std::string_view name, uint64_t value) {
  out += name;
  out += ": ";
  out += std::to_string(value);
  out += "\r\n";
}

auto wall() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

/// What the key has left (http-api.md 1.3).
void append_limits(std::string& out, const credential& who) {
  const auto now = wall();
  const auto x = who.lease.key->look(now);
  const uint64_t limit = x.limits.operations_per_day;
  append_number(out, "X-RateLimit-Limit", limit);
  append_number(out, "X-RateLimit-Remaining",
                limit > x.used.operations_today ? limit - x.used.operations_today : 0);
  append_number(
      out, "X-RateLimit-Reset",
      static_cast<uint64_t>(now.time_since_epoch().count()) + runtime::until_midnight(now));
  append_number(out, "X-RateLimit-Limit-Minute", x.limits.requests_per_minute);
  append_number(out, "X-RateLimit-Remaining-Minute", x.left_this_minute);
  append_number(out, "X-RateLimit-Requests-Today", x.used.operations_today);
  append_number(out, "X-Tokens-Today", x.used.tokens_today);
  append_number(out, "X-Tokens-Month", x.tokens_month);
}

void append_cors(std::string& out, const http::request& in, const runtime::cors_policy& cors) {
  using kind = runtime::cors_policy::kind;
  const auto origin = in.header("origin");
  if (cors.allow == kind::off || origin.empty())
    return;
  if (cors.allow == kind::any) {
    out += "Access-Control-Allow-Origin: *\r\n";
  } else {
    out += "Vary: Origin\r\n";
    for (const auto& allowed : cors.origins)
      if (allowed == origin) {
        out += "Access-Control-Allow-Origin: ";
        out += origin;
        out += "\r\nAccess-Control-Allow-Credentials: true\r\n";
      }
  }
  out += "Access-Control-Expose-Headers: X-Request-ID, X-Turn-Id, Retry-After, Idempotent-Replayed\r\n";
}

}  // namespace

std::string call::header_lines() const {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - began);
  std::string out;
  out.reserve(512);
  out += "X-Response-Time: ";
  out += std::to_string(took.count());
  out += "ms\r\nX-Request-ID: ";
  out += request_id;
  out +=
      "\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
      "X-XSS-Protection: 1; mode=block\r\n";
  append_cors(out, x->in(), at.config.cors_origins);
  if (who != nullptr)
    append_limits(out, *who);
  return out;
}

void call::reply(unsigned status, std::string text, std::string_view type,
                 std::string_view more_lines) {
  if (kept != nullptr)
    kept->answered(status, text, type, more_lines);
  http::response out;
  out.status = status;
  out.content_type = type;
  out.body = std::move(text);
  out.header_lines = header_lines();
  out.header_lines += more_lines;
  x->respond(std::move(out));
}

void call::reply_json(unsigned status, const json::value& value, std::string_view more_lines) {
  reply(status, json::serialize(value), "application/json", more_lines);
}

void call::refuse(const refusal& why) {
  json::object out{{"detail", why.detail}};
  if (!why.code.empty())
    out["code"] = why.code;
  std::string lines;
  if (why.retry_after_seconds > 0) {
    out["retry_after"] = why.retry_after_seconds;
    append_number(lines, "Retry-After", why.retry_after_seconds);
  }
  if (const auto resource = resource_of(why.code); why.status == 429 && !resource.empty()) {
    out["resource"] = resource;
    if (who != nullptr) {
      out["tier"] = who->key.tier;
      out["upgrade_url"] = "/billing/upgrade?tier=" + who->key.tier;
    }
  }
  reply_json(why.status, out, lines);
}

void call::refuse(uint16_t status, std::string_view detail) {
  refuse(refusal{status, std::string{detail}, 0, ""});
}

void call::refuse_unprocessable(violations wrong) {
  reply_json(422, json::object{{"detail", std::move(wrong)}});
}

std::string_view call::text_of(std::string_view member) const {
  const auto* x = body.if_contains(member);
  return x != nullptr && x->is_string() ? std::string_view{x->get_string()} : std::string_view{};
}

std::optional<refusal> over_quota(const credential& who, uint64_t tokens) {
  const auto now = wall();
  auto& gate = *who.lease.key;
  if (tokens == 0 || gate.fits(tokens, now))
    return std::nullopt;
  const auto x = gate.look(now);
  return refusal{429,
                 "Monthly token quota exceeded. " + std::to_string(x.limits.tokens_per_month) +
                     " tokens per month allowed, " + std::to_string(x.tokens_month) + " used.",
                 runtime::until_midnight(now), "quota_exceeded"};
}

bool call::fits(uint64_t tokens) {
  const auto no = over_quota(*who, tokens);
  if (!no)
    return true;
  at.metrics.rate_limited("l3", who->key.tier).Increment();
  refuse(*no);
  return false;
}

std::optional<uuid> id_segment(const call_ptr& c, size_t i, std::string_view what) {
  auto id = uuid::parse(c->segments[i]);
  if (!id)
    c->refuse(400, "Invalid " + std::string{what} + " ID format");
  return id;
}

std::span<const route> all_routes() {
  static const std::vector<route> all = [] {
    std::vector<route> out;
    for (auto part :
         {system_routes(), cluster_routes(), cdc_routes(), silo_routes(), session_routes(), turn_routes(), soul_routes(),
          agentese_routes(), agentese_alias_routes(), agentese_capability_routes(),
          universal_routes(), subscription_routes(), agentese_gateway_routes(),
          usage_routes(), billing_routes(), billing_record_routes(), stripe_webhook_routes(),
          tenant_routes(), operators_tenant_routes(), user_routes(), api_key_routes(),
          audit_routes(), trace_routes()})
      out.insert(out.end(), part.begin(), part.end());
    return out;
  }();
  return all;
}

}  // namespace kgents::gateway
