// The soul asked directly: dialogue and governance (http-api.md section 8).

#include "actors/soul.hpp"

#include <bit>

#include "actors/persona/budget.hpp"
#include "actors/persona/modes.hpp"
#include "gateway/route.hpp"
#include "gateway/shapes.hpp"

namespace kgents::gateway {

namespace {

constexpr std::string_view modes[] = {"reflect", "advise", "challenge", "explore"};
constexpr std::string_view budgets[] = {"dormant", "whisper", "dialogue", "deep"};

constexpr field dialogue_fields[] = {
    {.name = "prompt", .required = true, .meaning = "What you say; may be empty."},
    {.name = "mode", .nullable = true, .default_json = "\"reflect\"", .one_of = modes},
    {.name = "budget", .nullable = true, .default_json = "\"dialogue\"", .one_of = budgets},
};
constexpr schema dialogue_body{"DialogueRequest", dialogue_fields};

constexpr field governance_fields[] = {
    {.name = "action", .required = true, .meaning = "What is about to be done."},
    {.name = "context",
     .type = value_type::object,
     .default_json = "{}",
     .meaning = "`reason` (string) and `severity` (0 to 1, default 0.5)."},
    {.name = "budget", .nullable = true, .default_json = "\"dialogue\"", .one_of = budgets},
};
constexpr schema governance_body{"GovernanceRequest", governance_fields};

entity_id soul_of(const call& c) {
  return {entity_kind::soul, c.tenant(), uuid::derived(c.tenant().value, c.who->key.user_ref)};
}

std::string upper(std::string text) {
  for (auto& c : text)
    if (c >= 'a' && c <= 'z')
      c = static_cast<char>(c - 32);
  return text;
}

void answer_with(const call_ptr& c, const soul_answer& x) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  c->who->lease.key->add_tokens(x.tokens_used, now);
  c->reply(200, x.body);
}

void dialogue(const call_ptr& c) {
  soul_dialogue ask;
  ask.text = c->text_of("prompt");
  ask.key = c->who->key.key;
  const std::string mode{c->text_of("mode")};
  const auto known_mode = persona::parse_mode(mode.empty() ? "reflect" : mode);
  if (!known_mode) {
    c->refuse(400, "Invalid mode '" + mode.substr(0, 80) +
                       "'. Valid modes: reflect, advise, challenge, explore");
    return;
  }
  const std::string budget{c->text_of("budget")};
  const auto known_budget = persona::parse_budget(budget.empty() ? "dialogue" : budget);
  if (!known_budget) {
    c->refuse(400, "Invalid budget '" + budget.substr(0, 80) +
                       "'. Valid budgets: dormant, whisper, dialogue, deep");
    return;
  }
  ask.mode = persona::name(*known_mode);
  ask.budget = persona::name(*known_budget);
  const auto plan = upper(c->who->key.tier);
  if (!persona::budgets_of(plan).allows(*known_budget)) {
    c->refuse(403, persona::budget_refusal(ask.budget, plan));
    return;
  }
  if (c->fits(persona::dialogue_estimate(*known_budget)))
    c->ask<soul_answer>(soul_of(*c), std::move(ask),
                        [c](const soul_answer& x) { answer_with(c, x); });
}

void governance(const call_ptr& c) {
  soul_governance ask;
  ask.action = c->text_of("action");
  ask.key = c->who->key.key;
  ask.user = c->who->key.user_ref;
  const auto& context = c->body.at("context").as_object();
  double severity = 0.5;
  if (const auto* x = context.if_contains("severity"); x != nullptr && x->is_number())
    severity = std::clamp(x->to_number<double>(), 0.0, 1.0);
  if (const auto* x = context.if_contains("reason"); x != nullptr && x->is_string())
    ask.reason = x->get_string();
  ask.severity_bits = std::bit_cast<uint64_t>(severity);
  const std::string budget{c->text_of("budget")};
  const auto known = persona::parse_budget(budget.empty() ? "dialogue" : budget);
  const auto plan = upper(c->who->key.tier);
  if (!known || !persona::budgets_of(plan).allows(*known)) {
    c->refuse(403,
              persona::budget_refusal(
                  known ? persona::name(*known) : std::string_view{budget}.substr(0, 80), plan));
    return;
  }
  if (c->fits(persona::governance_estimate(*known)))
    c->ask<soul_answer>(soul_of(*c), std::move(ask),
                        [c](const soul_answer& x) { answer_with(c, x); });
}

const route table[] = {
    {.method = "POST",
     .path = "/v1/soul/dialogue",
     .tag = "soul",
     .summary = "One exchange with the soul, outside any session",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .metered = true,
     .body = &dialogue_body,
     .once = true,
     .answer = &dialogue_shape,
     .handle = dialogue},
    {.method = "POST",
     .path = "/v1/soul/governance",
     .tag = "soul",
     .summary = "May this action go ahead unasked?",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .metered = true,
     .body = &governance_body,
     .once = true,
     .answer = &governance_shape,
     .handle = governance},
};

}  // namespace

std::span<const route> soul_routes() { return table; }

}  // namespace kgents::gateway
