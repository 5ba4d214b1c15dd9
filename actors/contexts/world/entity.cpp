// world.<entity>: whatever a tenant says there is. The table of agentese.md 8.1.

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/world/entity_aspects.hpp"
#include "actors/contexts/world/nodes.hpp"

namespace kgents::actors {

namespace {

using enum aspect_category;

constexpr size_t text_bytes = 4 * 1024;
constexpr size_t name_bytes = 120;

constexpr argument limit_arg{.name = "limit",
                             .type = argument_type::integer,
                             .default_json = "100",
                             .meaning = "newest entries, at most",
                             .least = 1,
                             .most = 100};
constexpr argument changes_arg{.name = "changes",
                               .type = argument_type::object,
                               .meaning = "members of the state to set; null removes one"};
constexpr argument who_arg{
    .name = "who", .meaning = "who does it; the observer when absent", .max_bytes = name_bytes};
constexpr argument part_arg{
    .name = "part", .meaning = "which; all when absent", .max_bytes = name_bytes};

constexpr argument limit_args[] = {limit_arg};
constexpr argument define_args[] = {
    {.name = "name",
     .meaning = "of the new entity, below this one; this one when absent",
     .max_bytes = name_bytes},
    {.name = "spec", .meaning = "what it is, in words", .max_bytes = 16 * 1024},
    {.name = "entity_type", .meaning = "what kind of thing it is", .max_bytes = name_bytes},
    {.name = "state", .type = argument_type::object, .meaning = "what it begins with"}};
constexpr argument relate_args[] = {
    {.name = "target",
     .meaning = "handle that it leads to; lists what is related when absent",
     .max_bytes = 512},
    {.name = "relation", .default_json = R"("related_to")", .max_bytes = name_bytes}};
constexpr argument changes_args[] = {changes_arg};
constexpr argument demolish_args[] = {
    part_arg,
    {.name = "forget",
     .type = argument_type::boolean,
     .default_json = "false",
     .meaning = "removes the entity and its past states altogether"}};
constexpr argument repair_args[] = {part_arg, changes_arg};
constexpr argument item_args[] = {
    {.name = "item", .required = true, .meaning = "what to put there", .max_bytes = name_bytes},
    changes_arg};
constexpr argument use_args[] = {
    {.name = "item", .meaning = "what of it; the whole when absent", .max_bytes = name_bytes},
    changes_arg};
constexpr argument who_args[] = {who_arg, changes_arg};
constexpr argument metaphor_args[] = {
    {.name = "context", .meaning = "what to see it through", .max_bytes = text_bytes}};
constexpr argument design_args[] = {
    {.name = "purpose", .meaning = "what it is for", .max_bytes = text_bytes}};
constexpr argument metric_args[] = {
    {.name = "metric", .default_json = R"("size")", .max_bytes = name_bytes}};
constexpr argument hypothesis_args[] = {
    {.name = "hypothesis", .required = true, .max_bytes = text_bytes}};
constexpr argument horizon_args[] = {{.name = "horizon",
                                      .default_json = R"("1d")",
                                      .meaning = "a number with m, h, d, w or y",
                                      .max_bytes = 16}};
constexpr argument other_args[] = {
    {.name = "other", .required = true, .meaning = "another entity", .max_bytes = 512}};
constexpr argument trade_args[] = {
    {.name = "price", .type = argument_type::number, .required = true, .least = 0, .most = 1e12},
    {.name = "quantity",
     .type = argument_type::number,
     .default_json = "1",
     .least = 0,
     .most = 1e12},
    {.name = "with", .max_bytes = name_bytes}};
constexpr argument config_args[] = {{.name = "config",
                                     .type = argument_type::object,
                                     .meaning = "settings to change; null removes one"}};
constexpr argument provision_args[] = {
    {.name = "resource", .required = true, .max_bytes = name_bytes},
    {.name = "amount",
     .type = argument_type::integer,
     .default_json = "1",
     .least = 1,
     .most = 1e9}};
constexpr argument job_args[] = {
    {.name = "target", .meaning = "what of it", .max_bytes = text_bytes}};

constexpr std::string_view manifest_shape =
    "{type: 'blueprint', dimensions: any, materials: any, structural_analysis: {load_bearing: any,"
    " stress_points: any, integrity: any}}"
    " | {type: 'poetic', description: string, metaphors: any, mood: any}"
    " | {type: 'economic', market_value: number | null, comparable_sales: any,"
    " appreciation_forecast: string}"
    " | {type: 'scientific', entity: string, measurements: any, observations: any, hypotheses: any,"
    " confidence: any}"
    " | {type: 'developer', entity: string, language: any, dependencies: any, structure: any,"
    " build_status: any, test_coverage: any, issues: any}"
    " | {type: 'admin', entity: string, status: any, health: any, metrics: any, config: any,"
    " alerts: any, last_updated: string | null}"
    " | {summary: string, content: string, metadata: {entity_type: string}}";
constexpr std::string_view act_shape =
    "{entity: string, aspect: string, status: string, version?: integer, changes?: object}";
constexpr std::string_view job_shape =
    "{job_id: string, status: 'queued', entity: string, aspect: string, note: string}";
constexpr std::string_view changes_world = "reads:world, writes:world";
constexpr std::string_view makes_world = "reads:world, writes:world, calls:llm, charges:tokens 500";
constexpr std::string_view tells_world = "reads:world, calls:llm, charges:tokens 500";
constexpr std::string_view queues = "reads:world, writes:world, emits:job";
constexpr std::chrono::seconds with_model{130};

constexpr aspect_spec aspects[] = {
    {.name = "manifest",
     .run = entity::manifest,
     .help = "The entity as this observer sees it.",
     .returns = manifest_shape,
     .effects = "reads:world"},
    {.name = "witness",
     .run = entity::witness,
     .help = "What has happened to it, newest last.",
     .args = limit_args,
     .returns = "{handle: string, history: [object], count: integer, acts: [object], note: string}",
     .effects = "reads:world, reads:trace"},
    {.name = "define",
     .category = generation,
     .run = entity::define,
     .help = "Defines an entity below this one, or this one.",
     .args = define_args,
     .returns = "{handle: string, entity_type: string, spec: string, status: string,"
                " version: integer}",
     .effects = changes_world,
     .example = R"({"name":"kitchen","spec":"Where meals are made","entity_type":"room"})"},
    {.name = "relate",
     .category = mutation,
     .run = relate_node,
     .help = "Relates it to another handle, or lists what it is related to.",
     .args = relate_args,
     .returns = related_shape,
     .effects = changes_world,
     .example = R"({"target":"world.garden","relation":"opens_to"})",
     .idempotent = true},
    {.name = "transform",
     .category = mutation,
     .run = transform_node,
     .help = "Applies changes to its state.",
     .args = changes_args,
     .returns = "{transformed: boolean, changes: object, handle: string, version: integer}",
     .effects = changes_world,
     .example = R"({"changes":{"colour":"red"}})"},
    {.name = "renovate",
     .category = mutation,
     .run = entity::renovate,
     .help = "Renews what is named of it.",
     .args = changes_args,
     .returns = act_shape,
     .effects = changes_world,
     .example = R"({"changes":{"materials":["oak"]}})"},
    {.name = "measure",
     .run = entity::measure,
     .help = "One figure of it.",
     .args = metric_args,
     .returns = "{entity: string, metric: string, value: any}",
     .effects = "reads:world",
     .example = R"({"metric":"size"})"},
    {.name = "blueprint",
     .run = entity::blueprint,
     .help = "How it is built, with the parts below it.",
     .returns = "{type: 'blueprint', dimensions: any, materials: any, structural_analysis: object,"
                " parts: [string]}",
     .effects = "reads:world"},
    {.name = "demolish",
     .category = mutation,
     .run = entity::demolish,
     .help = "Takes down a part of it, or all.",
     .args = demolish_args,
     .returns = act_shape,
     .effects = "reads:world, writes:world, deletes:world"},
    {.name = "design",
     .category = generation,
     .run = entity::design,
     .help = "Designs it for a purpose and keeps the design.",
     .args = design_args,
     .returns = "{entity: string, purpose: string, design: string, status: string,"
                " version: integer}",
     .effects = makes_world,
     .example = R"({"purpose":"a family of four"})",
     .deadline = with_model},
    {.name = "describe",
     .run = entity::describe,
     .help = "Tells what it is.",
     .returns = "string",
     .effects = tells_world,
     .deadline = with_model},
    {.name = "metaphorize",
     .category = generation,
     .run = entity::metaphorize,
     .help = "Finds a metaphor for it and keeps it.",
     .args = metaphor_args,
     .returns = "string",
     .effects = makes_world,
     .example = R"({"context":"the sea"})",
     .deadline = with_model},
    {.name = "inhabit",
     .category = mutation,
     .run = entity::inhabit,
     .help = "Makes it somebody's home.",
     .args = who_args,
     .returns = act_shape,
     .effects = changes_world},
    {.name = "contemplate",
     .run = entity::contemplate,
     .help = "Stays with it for a while.",
     .returns = "string",
     .effects = tells_world,
     .deadline = with_model},
    {.name = "appraise",
     .run = entity::appraise,
     .help = "What it is worth, from its trades.",
     .returns = "{entity: string, market_value: number | null, trend: string, confidence: number,"
                " basis: string, comparable_sales: array}",
     .effects = "reads:world"},
    {.name = "forecast",
     .run = entity::forecast,
     .help = "What it may be worth later.",
     .args = horizon_args,
     .returns = "{entity: string, horizon: string, market_value: number | null,"
                " expected_value: number | null, trend: string, confidence: number, note: string}",
     .effects = "reads:world"},
    {.name = "compare",
     .run = entity::compare,
     .help = "How it differs from another entity.",
     .args = other_args,
     .returns = "{entity: string, other: string, other_exists: boolean, same: [string],"
                " different: object, only_here: [string], only_there: [string],"
                " value_difference: number | null}",
     .effects = "reads:world",
     .example = R"({"other":"world.garden"})"},
    {.name = "trade",
     .category = mutation,
     .run = entity::trade,
     .help = "Records a trade of it.",
     .args = trade_args,
     .returns = "{entity: string, aspect: string, status: string, trade: object,"
                " market_value: number | null, version: integer}",
     .effects = changes_world,
     .example = R"({"price":120000})"},
    {.name = "enter",
     .category = mutation,
     .run = entity::enter,
     .help = "Goes in.",
     .args = who_args,
     .returns = act_shape,
     .effects = changes_world},
    {.name = "exit",
     .category = mutation,
     .run = entity::leave,
     .help = "Goes out.",
     .args = who_args,
     .returns = act_shape,
     .effects = changes_world},
    {.name = "furnish",
     .category = mutation,
     .run = entity::furnish,
     .help = "Puts something there.",
     .args = item_args,
     .returns = act_shape,
     .effects = changes_world,
     .example = R"({"item":"table"})"},
    {.name = "repair",
     .category = mutation,
     .run = entity::repair,
     .help = "Mends what is damaged.",
     .args = repair_args,
     .returns = act_shape,
     .effects = changes_world},
    {.name = "use",
     .category = mutation,
     .run = entity::use,
     .help = "Uses it, or something in it.",
     .args = use_args,
     .returns = act_shape,
     .effects = changes_world},
    {.name = "analyze",
     .run = entity::analyze,
     .help = "What its state consists of.",
     .returns = "{entity: string, type: string, state_keys: [string], metadata_keys: [string],"
                " kinds: {string}, relations: integer}",
     .effects = "reads:world"},
    {.name = "experiment",
     .category = mutation,
     .run = entity::experiment,
     .help = "Sets a hypothesis to be tested.",
     .args = hypothesis_args,
     .returns = "{entity: string, aspect: string, hypothesis: string, result: string,"
                " version: integer}",
     .effects = changes_world,
     .example = R"({"hypothesis":"It is warmer in the south room"})"},
    {.name = "hypothesize",
     .category = generation,
     .run = entity::hypothesize,
     .help = "Makes three hypotheses about it and keeps them.",
     .returns = "{entity: string, hypotheses: [string], version: integer}",
     .effects = makes_world,
     .deadline = with_model},
    {.name = "build",
     .category = mutation,
     .run = entity::enqueue,
     .help = "Queues a build.",
     .args = job_args,
     .returns = job_shape,
     .effects = queues},
    {.name = "deploy",
     .category = mutation,
     .run = entity::enqueue,
     .help = "Queues a deployment.",
     .args = job_args,
     .returns = job_shape,
     .effects = queues},
    {.name = "debug",
     .category = mutation,
     .run = entity::enqueue,
     .help = "Queues a debugging session.",
     .args = job_args,
     .returns = job_shape,
     .effects = queues},
    {.name = "test",
     .category = mutation,
     .run = entity::enqueue,
     .help = "Queues a test run.",
     .args = job_args,
     .returns = job_shape,
     .effects = queues},
    {.name = "refactor",
     .category = mutation,
     .run = entity::enqueue,
     .help = "Queues a refactoring.",
     .args = job_args,
     .returns = job_shape,
     .effects = queues},
    {.name = "configure",
     .category = mutation,
     .run = entity::configure,
     .help = "Changes its settings.",
     .args = config_args,
     .returns = "{entity: string, aspect: string, status: string, changes: object, config: object,"
                " version: integer}",
     .effects = changes_world,
     .example = R"({"config":{"heating":"on"}})"},
    {.name = "monitor",
     .run = entity::monitor,
     .help = "How it is used and how that goes.",
     .returns = "{entity: string, status: string, invocations: integer, errors: integer,"
                " changes: integer, average_duration_ms: number, aspects: {integer},"
                " last_seen: string | null, version: integer}",
     .effects = "reads:world, reads:trace"},
    {.name = "audit",
     .run = entity::audit,
     .help = "Who changed what.",
     .args = limit_args,
     .returns = "{entity: string, created_by: string, created_at: string, version: integer,"
                " acts: [object], entries: [object], count: integer}",
     .effects = "reads:world, reads:trace"},
    {.name = "provision",
     .category = generation,
     .run = entity::provision,
     .help = "Gives it more of a resource.",
     .args = provision_args,
     .returns = act_shape,
     .effects = changes_world,
     .example = R"({"resource":"power","amount":2})"},
};

constexpr archetype_row rows[] = {
    {"architect", "renovate measure blueprint demolish design"},
    {"poet", "describe metaphorize inhabit contemplate"},
    {"economist", "appraise forecast compare trade"},
    {"inhabitant", "enter exit furnish repair use"},
    {"scientist", "analyze measure experiment hypothesize"},
    {"developer", "build deploy debug test refactor"},
    {"admin", "configure monitor audit provision"},
};

constexpr node_spec entity_node{.path = "world.*",
                                .description = "Whatever a tenant says there is in its world.",
                                .aspects = aspects,
                                .common = "define relate transform",
                                .rows = rows,
                                .resolve = resolve_stored};

}  // namespace

void register_entities(registry& to) { to.add(entity_node); }

}  // namespace kgents::actors
