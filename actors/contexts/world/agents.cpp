// world.agent: the agents there are, those of the letters and those that the tenant has set up, and
// what each observer may do with one.

#include "sql/agents.hpp"
#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/world/agent_aspects.hpp"
#include "actors/contexts/world/entity_aspects.hpp"
#include "actors/contexts/world/nodes.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

task<resolution> resolve(aspect_call& c) {
  const auto x = co_await agent::profile_of(c, c.node());
  co_return resolution{!x.id.empty(), {}};
}

/// Makes a tenant's agent active again; counted either way.
task<outcome> restart(aspect_call& c) {
  const auto who = co_await agent::profile_of(c, c.node());
  if (who.id.empty())
    co_return agent::no_such_agent(c);
  const auto held = co_await node_store::lock(c, c.node());
  auto node = co_await editable(c, c.node());
  node.entity_type = "agent";
  auto& slot = node.state["restarts"];
  const auto restarts = (slot.is_int64() ? slot.get_int64() : 0) + 1;
  slot = restarts;
  remember(node, c);
  std::vector<sql::statement> also;
  if (!who.builtin)
    also = sql::agents::set_active(c.tenant(), who.id, true).work.statements;
  json::object change{{"status", "restarted"}};
  (void)co_await node_store::save(c, std::move(node), std::move(change), std::move(also));
  co_return json::object{{"agent", who.id}, {"status", "restarted"}, {"restarts", restarts}};
}

std::optional<outcome> experiment_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto hypothesis = c.text("hypothesis");
  node.entity_type = "agent";
  append(
      node.state, "experiments",
      json::object{{"hypothesis", hypothesis}, {"result", "pending"}, {"timestamp", c.now_text()}});
  result["agent"] = c.name();
  result["hypothesis"] = hypothesis;
  result["result"] = "pending";
  return std::nullopt;
}

task<outcome> experiment(aspect_call& c) {
  auto out = co_await change_node(c, experiment_edit);
  co_return std::move(out);
}

constexpr size_t text_bytes = 16 * 1024;
constexpr argument input_arg{
    .name = "input", .type = argument_type::any, .meaning = "what it is given"};
constexpr argument invoke_args[] = {
    input_arg, {.name = "message", .meaning = "the same, as a text", .max_bytes = text_bytes}};
constexpr argument compose_args[] = {
    input_arg,
    {.name = "with", .required = true, .meaning = "the agent that goes on", .max_bytes = 200}};
constexpr argument test_args[] = {{.name = "input", .required = true, .max_bytes = text_bytes},
                                  {.name = "expect",
                                   .default_json = R"("")",
                                   .meaning = "has to be in the answer",
                                   .max_bytes = 4096}};
constexpr argument limit_args[] = {{.name = "limit",
                                    .type = argument_type::integer,
                                    .default_json = "100",
                                    .least = 1,
                                    .most = 500}};
constexpr argument purpose_args[] = {{.name = "purpose", .required = true, .max_bytes = 4096}};
constexpr argument hypothesis_args[] = {
    {.name = "hypothesis", .required = true, .max_bytes = 4096}};
constexpr argument job_args[] = {{.name = "target", .max_bytes = 4096}};

using enum aspect_category;

constexpr std::string_view asks_llm = "calls:llm, charges:tokens 500";
constexpr std::chrono::seconds with_model{130};
constexpr std::string_view profile_shape =
    "{agent: string, name: string, role: string, mode: string, kind: string, active: boolean}";

constexpr aspect_spec list_aspects[] = {{.name = "list",
                                         .run = agent::list,
                                         .help = "The agents there are.",
                                         .returns = "{agents: [object], count: integer}",
                                         .effects = "reads:agents"}};
constexpr aspect_spec aspects[] = {
    {.name = "manifest",
     .run = agent::manifest,
     .help = "Who it is.",
     .returns = profile_shape,
     .effects = "reads:agents"},
    {.name = "invoke",
     .category = generation,
     .run = agent::invoke,
     .help = "Gives it something to answer.",
     .args = invoke_args,
     .returns = "{agent: string, name: string, response: string, source: string,"
                " tokens_used: integer}",
     .effects = asks_llm,
     .example = R"({"input":"How do I begin?"})",
     .deadline = with_model},
    {.name = "compose",
     .category = composition,
     .run = agent::compose,
     .help = "This one, and then another on what it said.",
     .args = compose_args,
     .returns = "{agents: [string], composition: string, between?: string, response?: string}",
     .effects = asks_llm,
     .example = R"({"with":"r","input":"A long story"})",
     .deadline = with_model},
    {.name = "debug",
     .run = agent::debug,
     .help = "What it is told, who answers for it and what has gone wrong.",
     .returns = "{agent: string, system_prompt: string, answered_by: string, errors: [object]}",
     .effects = "reads:agents, reads:trace"},
    {.name = "test",
     .run = agent::test,
     .help = "Gives it an input and looks for what is expected.",
     .args = test_args,
     .returns = "{agent: string, passed: boolean, expected: string, response: string}",
     .effects = asks_llm,
     .example = R"({"input":"Say what a house is","expect":"house"})",
     .deadline = with_model},
    {.name = "trace",
     .run = agent::trace,
     .help = "What it was asked, newest last.",
     .args = limit_args,
     .returns = "{agent: string, trace: [object], count: integer}",
     .effects = "reads:trace"},
    {.name = "status",
     .run = agent::status,
     .help = "Whether it is active.",
     .returns = "{agent: string, status: string, answered_by: string, restarts: integer}",
     .effects = "reads:agents"},
    {.name = "metrics",
     .run = agent::metrics,
     .help = "How it is used and how that goes.",
     .returns = "{agent: string, invocations: integer, errors: integer,"
                " average_duration_ms: number, slowest_ms: integer, tokens: integer,"
                " last_seen: string | null}",
     .effects = "reads:trace"},
    {.name = "restart",
     .category = mutation,
     .run = restart,
     .help = "Makes it active again.",
     .returns = "{agent: string, status: string, restarts: integer}",
     .effects = "writes:agents"},
    {.name = "design",
     .category = generation,
     .run = agent::design,
     .help = "How it would have to be told to serve a purpose.",
     .args = purpose_args,
     .returns = "{agent: string, purpose: string, design: string}",
     .effects = asks_llm,
     .example = R"({"purpose":"reviewing contracts"})",
     .deadline = with_model},
    {.name = "refactor",
     .category = mutation,
     .run = entity::enqueue,
     .help = "Queues a refactoring.",
     .args = job_args,
     .returns = "{job_id: string, status: 'queued', entity: string, aspect: string, note: string}",
     .effects = "writes:agents, emits:job"},
    {.name = "experiment",
     .category = mutation,
     .run = experiment,
     .help = "Sets a hypothesis about it to be tested.",
     .args = hypothesis_args,
     .returns = "{agent: string, hypothesis: string, result: string, version: integer}",
     .effects = "writes:agents",
     .example = R"({"hypothesis":"Shorter prompts give shorter answers"})"},
    {.name = "analyze",
     .run = agent::analyze,
     .help = "What it is good at and how it does.",
     .returns = "{agent: string, invocations: integer, error_rate: number, good_at: string}",
     .effects = "reads:agents, reads:trace"},
};
constexpr archetype_row rows[] = {
    {"developer", "compose debug test trace"},
    {"admin", "status metrics restart"},
    {"architect", "compose design refactor"},
    {"scientist", "experiment analyze"},
};
constexpr node_spec list_node{.path = "world.agent",
                              .description = "The agents there are.",
                              .aspects = list_aspects,
                              .common = "list"};
constexpr node_spec agent_node{.path = "world.agent.*",
                               .description = "An agent: one of the letters, or the tenant's own.",
                               .aspects = aspects,
                               .common = "invoke",
                               .rows = rows,
                               .resolve = resolve};

}  // namespace

void register_agents(registry& to) {
  to.add(list_node);
  to.add(agent_node);
}

}  // namespace kgents::actors
