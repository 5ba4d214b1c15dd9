// Capability tokens over /v1 (agentese.md section 7): minted from a key's own rights, or narrowed
// from another token.

#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/problems.hpp"
#include "gateway/route.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr int64_t longest_seconds =
    std::chrono::seconds{actors::capability_limits::longest_life}.count();
constexpr size_t token_bytes = actors::capability_limits::token_most_bytes;

constexpr field mint_fields[] = {
    {.name = "scopes",
     .type = value_type::array,
     .default_json = "[]",
     .meaning = "`memory:write`, `define`, …, `*`; none: all that the key or the parent gives"},
    {.name = "resources",
     .type = value_type::array,
     .default_json = "[]",
     .meaning = "`memory`, `memory/*`, `*`; none: all of the parent's"},
    {.name = "expires_in",
     .type = value_type::integer,
     .nullable = true,
     .meaning = "Seconds; an hour when absent, a day at most.",
     .least = 1,
     .most = longest_seconds},
    {.name = "parent",
     .nullable = true,
     .meaning = "A token to narrow instead of the key's own rights.",
     .max_bytes = token_bytes},
};
constexpr schema mint_body{"CapabilityRequest", mint_fields};

constexpr field token_fields[] = {
    {.name = "token", .required = true, .meaning = "for X-Agentese-Capability; shown this once"},
    {.name = "capability",
     .type = value_type::object,
     .required = true,
     .meaning = "issuer, audience, scopes, resources, not_before, expires_at"},
};
constexpr schema token_shape{"CapabilityResponse", token_fields};

std::vector<std::string> texts(const json::object& body, std::string_view name, violations& wrong) {
  std::vector<std::string> out;
  const auto& all = body.at(name).as_array();
  for (size_t i = 0; i < all.size(); ++i)
    if (const auto* text = all[i].if_string())
      out.emplace_back(*text);
    else
      add_violation(wrong, "string_type", {"body", json::string(name), i},
                    "Input should be a valid string", all[i]);
  return out;
}

void refuse_with(const call_ptr& c, const agentese::error& x) {
  const auto why = v1_problem(x);
  c->reply(why.status, why.text(), "application/json", why.lines);
}

void mint(const call_ptr& c) {
  violations wrong;
  actors::capability_request ask;
  ask.scopes = texts(c->body, "scopes", wrong);
  ask.resources = texts(c->body, "resources", wrong);
  if (!wrong.empty()) {
    c->refuse_unprocessable(std::move(wrong));
    return;
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (const auto* life = c->body.if_contains("expires_in"); life != nullptr && life->is_int64())
    ask.expires_at = now + std::chrono::seconds{life->get_int64()};
  const auto& authority = c->at.capabilities;
  const auto parent = c->text_of("parent");
  // A token that outlived its key would only say so.
  if (const auto& end = c->who->key.expires_at; end && parent.empty())
    ask.expires_at = std::min(ask.expires_at.value_or(now + actors::capability_limits::usual_life),
                              std::chrono::floor<std::chrono::seconds>(*end));
  const auto by = caller_of(*c->who);
  const auto made = parent.empty() ? authority.mint(c->tenant(), by, ask, now)
                                   : authority.narrow(c->tenant(), by, parent, ask, now);
  if (const auto* no = std::get_if<agentese::error>(&made)) {
    refuse_with(c, *no);
    return;
  }
  const auto& token = std::get<std::string>(made);
  const auto held = authority.verify(c->tenant(), token, now);
  if (const auto* no = std::get_if<agentese::error>(&held)) {
    refuse_with(c, *no);
    return;
  }
  c->reply_json(
      201,
      json::object{{"token", token}, {"capability", to_json(std::get<actors::capability>(held))}},
      "Cache-Control: no-store\r\n");
}

const route table[] = {
    {.method = "POST",
     .path = "/v1/agentese/capabilities",
     .tag = "agentese",
     .summary = "A token that proves a part of what this key may do, or of another token",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .body = &mint_body,
     .body_optional = true,
     .answer = &token_shape,
     .success = 201,
     .handle = mint},
};

}  // namespace

std::span<const route> agentese_capability_routes() { return table; }

}  // namespace kgents::gateway
