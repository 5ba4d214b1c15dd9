// self.soul: the persona as a node (agentese.md 18.9).

#include <boost/json/array.hpp>
#include <caf/send.hpp>

#include "actors/contexts/context.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "actors/contexts/self/self_store.hpp"
#include "actors/contexts/self/souls.hpp"
#include "actors/governance_record.hpp"
#include "actors/persona/starters.hpp"
#include "runtime/database.hpp"
#include "runtime/limits.hpp"

namespace kgents::actors::self_nodes {

using namespace self_soul;
namespace json = boost::json;

namespace {

using enum aspect_category;
using enum argument_type;

json::object invalid_mode(const std::string& name) { return {{"error", "Invalid mode: " + name}}; }

/// The first of these arguments that is a text. A composition hands over `input`.
std::optional<std::string> first_text(const aspect_call& c,
                                      std::initializer_list<std::string_view> names) {
  for (const auto name : names)
    if (const auto* x = c.find(name); x != nullptr && x->is_string())
      return std::string{x->get_string()};
  return std::nullopt;
}

task<outcome> answer_to(aspect_call& c, std::string message, std::optional<persona::mode> mode,
                        json::object also = json::object()) {
  surroundings alone;
  auto answered = co_await say(c, std::move(message), mode, std::move(alone));
  if (auto* wrong = std::get_if<agentese::error>(&answered))
    co_return std::move(*wrong);
  auto out = shown(std::get<persona::dialogue_result>(answered));
  for (const auto& x : also)
    out[x.key()] = x.value();
  co_return out;
}

task<outcome> manifest(aspect_call& c) {
  const auto soul = co_await soul_of(c);
  co_return json::object{{"mode", persona::name(soul->active)},
                         {"eigenvectors", soul->axes.values()},
                         {"interactions_count", soul->interactions_count},
                         {"tokens_used_session", soul->tokens_used_session},
                         {"has_llm", c.has_model()}};
}

task<outcome> dialogue(aspect_call& c) {
  auto message = first_text(c, {"message", "input"});
  if (!message)
    co_return c.missing("message required");
  std::optional<persona::mode> mode;
  if (const auto name = c.text("mode"); !name.empty()) {
    mode = persona::parse_mode(name);
    if (!mode)
      co_return invalid_mode(name);
  }
  auto out = co_await answer_to(c, std::move(*message), mode);
  co_return std::move(out);
}

task<outcome> in_mode(aspect_call& c, persona::mode mode) {
  auto message = first_text(c, {"message", "input", "challenge"});
  if (!message)
    co_return c.missing("message required");
  auto out = co_await answer_to(c, std::move(*message), mode);
  co_return std::move(out);
}

task<outcome> challenge(aspect_call& c) { return in_mode(c, persona::mode::challenge); }
task<outcome> reflect(aspect_call& c) { return in_mode(c, persona::mode::reflect); }

task<outcome> why(aspect_call& c) {
  auto message = first_text(c, {"message", "topic", "input"});
  if (!message)
    co_return c.missing("message or topic required");
  json::object also{{"depth", "exploring purpose"}};
  auto out = co_await answer_to(c, std::move(*message), persona::mode::explore, std::move(also));
  co_return std::move(out);
}

task<outcome> tension(aspect_call& c) {
  auto message = first_text(c, {"message", "topic", "input"});
  if (!message)
    co_return c.missing("message or topic required");
  json::object also{{"holding_space", true}};
  auto out = co_await answer_to(c, std::move(*message), persona::mode::challenge, std::move(also));
  co_return std::move(out);
}

/// In the audit log, beside the answer: this aspect may write nothing of the tenant's data itself.
/// What the server asks of its own accord is nobody's act.
void record(const aspect_call& c, const persona::governance_request& ask,
            const persona::verdict& found) {
  if (c.by().key.value.is_nil() || !c.services().database)
    return;
  auto work = std::make_shared<sql::transaction>();
  work->tenant = c.tenant();
  work->where = sql::plane::control;
  work->statements.push_back(governance_record(c.by().key, ask, found));
  work->deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  caf::anon_send(c.services().database, runtime::sql_call{std::move(work)});
}

/// Danger first, whatever the budget; then the model, unless the budget is dormant; else keywords.
task<outcome> governance(aspect_call& c) {
  if (!c.has("action")) {
    if (c.asked().origin != "v1")
      co_return c.missing("action required");
    co_return json::object{{"error", "action required"},
                           {"hint", "say what is to be done, as kwargs.action"}};
  }
  const auto plan = persona::budgets_of(c.by().tier);
  auto budget = plan.usable_default();
  if (const auto name = c.text("budget"); !name.empty()) {
    const auto wanted = persona::parse_budget(name);
    if (!wanted || !plan.allows(*wanted)) {
      agentese::error out;
      out.category = agentese::category::forbidden;
      out.code = "BUDGET_NOT_AVAILABLE";
      out.message = persona::budget_refusal(name, c.by().tier);
      out.suggested_action = "leave the budget out, or upgrade the plan";
      out.path = c.full_path();
      co_return out;
    }
    budget = *wanted;
  }
  persona::governance_request ask;
  ask.action = c.text("action");
  if (const auto* context = c.find("context"); context != nullptr && context->is_object()) {
    const auto& x = context->get_object();
    if (const auto* reason = x.if_contains("reason"); reason != nullptr && reason->is_string())
      ask.reason = reason->get_string();
    if (const auto* n = x.if_contains("severity"); n != nullptr && n->is_number())
      ask.severity = n->to_number<double>();
  }
  ask.token_id = persona::governance_token(who_of(c), ask.action);
  const auto soul = co_await soul_of(c);
  persona::verdict found;
  if (const auto danger = persona::evaluate_danger(ask)) {
    found = *danger;
  } else if (!c.has_model() || budget == persona::budget_tier::dormant) {
    found = persona::evaluate_keywords(ask, *soul->seed);
  } else {
    auto question = persona::verdict_question(ask, soul->axes);
    llm::prompt prompt;
    prompt.system = std::move(question.system);
    prompt.messages.push_back({"user", std::move(question.user)});
    prompt.mode = persona::name(question.used);
    prompt.temperature = question.temperature;
    prompt.max_tokens = question.max_tokens;
    const auto got = co_await c.model(std::move(prompt));
    const auto* text = std::get_if<llm::collected>(&got);
    found = text != nullptr ? persona::parse_verdict(text->text) : persona::verdict_of_failure();
  }
  if (c.services().audit)
    c.services().audit(c.tenant(), persona::audit_of(ask, found, std::chrono::system_clock::now()));
  record(c, ask, found);
  co_return persona::agentese_result(found);
}

json::array starters_of(persona::mode mode) {
  json::array out;
  for (const auto x : persona::starters(mode))
    out.emplace_back(persona::filled(x));
  return out;
}

task<outcome> starters(aspect_call& c) {
  if (const auto name = c.text("mode"); !name.empty()) {
    const auto mode = persona::parse_mode(name);
    if (!mode)
      co_return invalid_mode(name);
    co_return json::object{{"mode", persona::name(*mode)}, {"starters", starters_of(*mode)}};
  }
  json::object all;
  for (const auto mode : persona::all_modes)
    all[persona::name(mode)] = starters_of(mode);
  co_return json::object{{"mode", nullptr}, {"starters", std::move(all)}};
}

task<outcome> eigenvectors(aspect_call& c) {
  const auto soul = co_await soul_of(c);
  co_return soul->axes.values();
}

task<outcome> mode(aspect_call& c) {
  const auto soul = co_await soul_of(c);
  const auto name = c.text("set");
  if (name.empty())
    co_return json::object{{"mode", persona::name(soul->active)}, {"status", "current"}};
  const auto wanted = persona::parse_mode(name);
  if (!wanted)
    co_return invalid_mode(name);
  const auto who = who_of(c);
  json::value kept(json::object{{"mode", persona::name(*wanted)}});
  json::object change{{"mode", persona::name(*wanted)}, {"who", who}};
  const auto full =
      co_await self_store::save(c, stored_name(who), std::move(kept), std::move(change));
  if (full)
    co_return *full;
  const auto line = persona::enter_mode(*soul, *wanted);
  co_return json::object{
      {"mode", persona::name(*wanted)}, {"status", "changed"}, {"transition", line}};
}

constexpr size_t message_bytes = 32 * 1024;
constexpr argument dialogue_args[] = {
    {.name = "message", .meaning = "what is said", .max_bytes = message_bytes},
    {.name = "mode", .meaning = "reflect, advise, challenge or explore", .max_bytes = 64},
    {.name = "input",
     .type = any,
     .meaning = "of a composition: the message",
     .max_bytes = message_bytes}};
constexpr argument fixed_mode_args[] = {
    {.name = "message", .meaning = "what is said", .max_bytes = message_bytes},
    {.name = "challenge", .meaning = "the same as message", .max_bytes = message_bytes},
    {.name = "input", .type = any, .meaning = "the same as message", .max_bytes = message_bytes}};
constexpr argument topic_args[] = {
    {.name = "message", .meaning = "what is said", .max_bytes = message_bytes},
    {.name = "topic", .meaning = "the same as message", .max_bytes = message_bytes},
    {.name = "input",
     .type = any,
     .meaning = "of a composition: the message",
     .max_bytes = message_bytes}};
constexpr argument governance_args[] = {
    {.name = "action", .meaning = "what is to be done", .max_bytes = message_bytes},
    {.name = "context", .type = object, .meaning = "reason, severity", .max_bytes = message_bytes},
    {.name = "budget", .meaning = "one of the plan's", .max_bytes = 64}};
constexpr argument starter_args[] = {{.name = "mode", .meaning = "none: all", .max_bytes = 64}};
constexpr argument mode_args[] = {{.name = "set", .meaning = "none: which it is", .max_bytes = 64}};

constexpr std::string_view asks_model = "calls:llm, charges:tokens 500";
constexpr std::string_view reply_shape =
    "{response: string, mode: string, tokens_used: integer, was_template: boolean,"
    " budget_tier: string} | {error: string}";
constexpr std::chrono::seconds model_deadline{130};

constexpr aspect_spec aspects[] = {
    {.name = "manifest",
     .run = manifest,
     .help = "The soul's mode, character and counters.",
     .returns = "{mode: string, eigenvectors: {number}, interactions_count: integer,"
                " tokens_used_session: integer, has_llm: boolean}",
     .effects = "reads:soul"},
    {.name = "dialogue",
     .category = mutation,
     .run = dialogue,
     .help = "Talks, in a mode or the present one.",
     .args = dialogue_args,
     .returns = reply_shape,
     .effects = asks_model,
     .example = R"({"message":"What am I avoiding?"})",
     .streaming = true,
     .deadline = model_deadline},
    {.name = "challenge",
     .category = mutation,
     .run = challenge,
     .help = "Opposes, to make it stronger.",
     .args = fixed_mode_args,
     .returns = reply_shape,
     .effects = asks_model,
     .example = R"({"message":"I never change my mind."})",
     .streaming = true,
     .deadline = model_deadline},
    {.name = "reflect",
     .category = mutation,
     .run = reflect,
     .help = "Mirrors back what was said.",
     .args = fixed_mode_args,
     .returns = reply_shape,
     .effects = asks_model,
     .example = R"({"message":"I keep starting over."})",
     .streaming = true,
     .deadline = model_deadline},
    {.name = "why",
     .category = mutation,
     .run = why,
     .help = "Asks for the purpose behind something.",
     .args = topic_args,
     .returns = reply_shape,
     .effects = asks_model,
     .example = R"({"topic":"sailing alone"})",
     .streaming = true,
     .deadline = model_deadline},
    {.name = "tension",
     .category = mutation,
     .run = tension,
     .help = "Holds two sides of something without settling it.",
     .args = topic_args,
     .returns = reply_shape,
     .effects = asks_model,
     .example = R"({"topic":"speed and safety"})",
     .streaming = true,
     .deadline = model_deadline},
    {.name = "governance",
     .category = mutation,
     .run = governance,
     .help = "Whether an action may go ahead unasked; when in doubt, a person decides.",
     .args = governance_args,
     .returns = "{handled: boolean, recommendation: string, confidence: number,"
                " principles: [string], reasoning: string, annotation: string, was_deep: boolean}"
                " | {error: string}",
     .effects = "calls:llm, charges:tokens 500, audits:governance",
     .example = R"({"action":"rename a label","context":{"reason":"clarity"}})",
     .deadline = model_deadline},
    {.name = "starters",
     .run = starters,
     .help = "Prompts that open a conversation.",
     .args = starter_args,
     .returns = "{mode: string | null, starters: [string] | {[string]}} | {error: string}",
     .idempotent = true},
    {.name = "eigenvectors",
     .run = eigenvectors,
     .help = "The six axes of the soul's character.",
     .returns = "{aesthetic: number, categorical: number, gratitude: number, heterarchy: number,"
                " generativity: number, joy: number}",
     .effects = "reads:soul"},
    {.name = "mode",
     .category = mutation,
     .run = mode,
     .help = "The present mode, or another from now on.",
     .args = mode_args,
     .returns = "{mode: string, status: string} | {error: string}",
     .effects = "reads:soul, writes:soul"},
    {.name = "chat",
     .category = mutation,
     .run = chat,
     .help = "Talks with what was said before in mind, and what is remembered.",
     .args = dialogue_args,
     .returns = "{response: string, mode: string, tokens_used: integer, was_template: boolean,"
                " budget_tier: string, turn: integer, entropy: number, window_tokens: integer,"
                " memories_recalled: [string]} | {error: string}",
     .effects = "reads:memory, writes:soul, calls:llm, charges:tokens 500",
     .example = R"({"message":"What did we say about boats?"})",
     .streaming = true,
     .deadline = model_deadline},
};

constexpr archetype_row rows[] = {
    {"developer architect admin system technical", "*"},
    {"operator", "dialogue governance challenge reflect mode starters chat"},
    {"reviewer security", "dialogue challenge starters"},
    {"newcomer casual reflective", "dialogue starters chat"},
    {"creative strategic tactical", "dialogue challenge reflect why tension starters chat"},
    {"*", "starters"},
};

}  // namespace

void register_soul(registry& to) {
  static constexpr node_spec spec{.path = "self.soul",
                                  .description = "K-gent: a persona to think with.",
                                  .aspects = aspects,
                                  .rows = rows,
                                  .read_suffices = true};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
