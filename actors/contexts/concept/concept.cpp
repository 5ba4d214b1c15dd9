// concept.<name>: what something means. The table of agentese.md 8.3.

#include "actors/contexts/concept/concept_aspects.hpp"
#include "actors/contexts/concept/nodes.hpp"
#include "actors/contexts/defined_node.hpp"

namespace kgents::actors {

namespace {

using enum aspect_category;

constexpr size_t text_bytes = 4 * 1024;
constexpr size_t name_bytes = 120;
constexpr size_t handle_bytes = 512;

constexpr std::string_view levels[] = {"basic", "intermediate", "advanced"};

constexpr argument define_args[] = {
    {.name = "name",
     .meaning = "of the new concept, below this one; this one when absent",
     .max_bytes = name_bytes},
    {.name = "spec", .meaning = "what it means", .max_bytes = text_bytes},
    {.name = "extends", .type = argument_type::any, .meaning = "its parents, one at least"},
    {.name = "subsumes", .type = argument_type::any, .meaning = "concepts below it"},
    {.name = "justification", .max_bytes = text_bytes},
    {.name = "domain", .max_bytes = name_bytes},
    {.name = "affordances", .type = argument_type::array, .meaning = "beyond those of its parents"},
    {.name = "constraints",
     .type = argument_type::array,
     .meaning = "beyond those its parents share"}};
constexpr argument relate_args[] = {
    {.name = "target",
     .meaning = "handle that it leads to; lists what is related when absent",
     .max_bytes = handle_bytes},
    {.name = "relation", .default_json = R"("related_to")", .max_bytes = name_bytes}};
constexpr argument challenge_args[] = {
    {.name = "challenge", .meaning = "what the definition has to answer", .max_bytes = text_bytes}};
constexpr argument thesis_args[] = {
    {.name = "thesis", .meaning = "the definition when absent", .max_bytes = text_bytes}};
constexpr argument other_args[] = {
    {.name = "other", .required = true, .meaning = "another concept", .max_bytes = handle_bytes}};
constexpr argument domain_args[] = {{.name = "domain", .max_bytes = name_bytes}};
constexpr argument language_args[] = {
    {.name = "language", .default_json = R"("python")", .max_bytes = 40}};
constexpr argument lens_args[] = {
    {.name = "lens", .meaning = "what to see it through", .max_bytes = text_bytes}};
constexpr argument medium_args[] = {
    {.name = "medium", .meaning = "such as a haiku or a melody", .max_bytes = name_bytes}};
constexpr argument changes_args[] = {{.name = "changes",
                                      .type = argument_type::object,
                                      .meaning = "members of the state to set; null removes one"}};
constexpr argument level_args[] = {
    {.name = "level", .default_json = R"("intermediate")", .one_of = levels}};
constexpr argument example_args[] = {
    {.name = "example", .meaning = "one that is known; made when absent", .max_bytes = text_bytes}};
constexpr argument answer_args[] = {{.name = "answer",
                                     .meaning = "what to assess; questions when absent",
                                     .max_bytes = text_bytes}};
constexpr argument candidate_args[] = {
    {.name = "candidate", .meaning = "what may be one", .max_bytes = text_bytes}};
constexpr argument input_args[] = {
    {.name = "input", .type = argument_type::any, .meaning = "what the process is given"}};
constexpr argument pair_args[] = {{.name = "source", .required = true, .max_bytes = handle_bytes},
                                  {.name = "target", .required = true, .max_bytes = handle_bytes}};
constexpr argument traverse_args[] = {
    {.name = "source", .required = true, .max_bytes = handle_bytes},
    {.name = "depth",
     .type = argument_type::integer,
     .default_json = "5",
     .least = 1,
     .most = 100}};
constexpr argument of_args[] = {
    {.name = "of", .required = true, .meaning = "what is measured", .max_bytes = text_bytes}};

constexpr std::string_view manifest_shape =
    "{type: 'philosophical', concept: string, definition: string, essence: string,"
    " dialectic: {thesis: any, antithesis: any, synthesis: any}, related_concepts: [string]}"
    " | {type: 'scientific', entity: string, measurements: any, observations: any, hypotheses: any,"
    " confidence: any}"
    " | {summary: string, content: string, metadata: object}";
constexpr std::string_view lineage_shape =
    "{handle: string, extends: [string], subsumes: [string], justification: string,"
    " affordances: [string], constraints: [string], created_by: string, created_at: string,"
    " domain: string, depth: integer, ancestors: [string]}";
constexpr std::string_view changes = "reads:concept, writes:concept";
constexpr std::string_view makes = "reads:concept, writes:concept, calls:llm, charges:tokens 500";
constexpr std::string_view tells = "reads:concept, calls:llm, charges:tokens 500";
constexpr std::chrono::seconds with_model{130};

constexpr aspect_spec aspects[] = {
    {.name = "manifest",
     .run = idea::manifest,
     .help = "The concept as this observer sees it.",
     .returns = manifest_shape,
     .effects = "reads:concept"},
    {.name = "define",
     .category = generation,
     .run = idea::define,
     .help = "Defines a concept from the ones it extends.",
     .args = define_args,
     .returns = "{handle: string, status: string, definition: string, lineage: object,"
                " version: integer}",
     .effects = changes,
     .example = R"({"spec":"Giving everybody their due","extends":["concept"]})"},
    {.name = "relate",
     .category = mutation,
     .run = relate_node,
     .help = "Relates it to another handle, or lists what it is related to.",
     .args = relate_args,
     .returns = related_shape,
     .effects = changes,
     .example = R"({"target":"concept.equality","relation":"implies"})",
     .idempotent = true},
    {.name = "refine",
     .category = generation,
     .run = idea::refine,
     .help = "Refines the definition so that it answers a challenge, and keeps it.",
     .args = challenge_args,
     .returns = "{original: string, challenge: string, refined: string, status: string,"
                " note: string}",
     .effects = makes,
     .example = R"({"challenge":"What of those who ask for nothing?"})",
     .deadline = with_model},
    {.name = "dialectic",
     .category = generation,
     .run = idea::dialectic,
     .help = "Thesis, antithesis and synthesis.",
     .args = thesis_args,
     .returns = "{thesis: string, antithesis: string, synthesis: string, status: string}",
     .effects = makes,
     .example = R"({"thesis":"Justice is equality"})",
     .streaming = true,
     .deadline = with_model},
    {.name = "synthesize",
     .category = generation,
     .run = idea::synthesize,
     .help = "Joins it with another concept.",
     .args = other_args,
     .returns = "{source: string, other: string, synthesis: string}",
     .effects = makes,
     .example = R"({"other":"concept.equality"})",
     .deadline = with_model},
    {.name = "analyze",
     .run = idea::analyze,
     .help = "What it consists of and rests on.",
     .returns = "{concept: string, definition: string, essence: string, components: [string],"
                " presupposes: [string], related: [string], constraints: [string],"
                " opposite: string}",
     .effects = "reads:concept"},
    {.name = "critique",
     .category = generation,
     .run = idea::critique,
     .help = "What is wrong with it.",
     .returns = "{concept: string, critique: [string]}",
     .effects = tells,
     .deadline = with_model},
    {.name = "hypothesize",
     .category = generation,
     .run = idea::hypothesize,
     .help = "Makes three hypotheses and keeps them.",
     .returns = "{concept: string, hypotheses: [string]}",
     .effects = makes,
     .deadline = with_model},
    {.name = "validate",
     .category = mutation,
     .run = idea::validate,
     .help = "Whether it is complete.",
     .args = domain_args,
     .returns = "{validation: {has_definition: boolean, has_examples: boolean,"
                " has_relations: boolean, domain_specified: boolean}, valid: boolean,"
                " criteria_checked: integer}",
     .effects = "reads:concept",
     .idempotent = true},
    {.name = "classify",
     .run = idea::classify,
     .help = "Which of the standard and related concepts it is most like.",
     .returns = "{concept: string, class: string, score: number, candidates: [object]}",
     .effects = "reads:concept"},
    {.name = "implement",
     .category = generation,
     .run = idea::implement,
     .help = "A sketch of it in code.",
     .args = language_args,
     .returns = "{concept: string, language: string, implementation: string}",
     .effects = tells,
     .example = R"({"language":"rust"})",
     .deadline = with_model},
    {.name = "decompose",
     .run = idea::decompose,
     .help = "Its parts.",
     .returns = "{concept: string, parts: [string], below: [string], above: [string]}",
     .effects = "reads:concept"},
    {.name = "optimize",
     .run = idea::optimize,
     .help = "What would make it better.",
     .returns = "{concept: string, suggestions: [string]}",
     .effects = "reads:concept"},
    {.name = "interpret",
     .run = idea::interpret,
     .help = "Reads it through a lens.",
     .args = lens_args,
     .returns = "string",
     .effects = tells,
     .example = R"({"lens":"water"})",
     .deadline = with_model},
    {.name = "express",
     .category = generation,
     .run = idea::express,
     .help = "Makes a short work of it.",
     .args = medium_args,
     .returns = "string",
     .effects = tells,
     .example = R"({"medium":"haiku"})",
     .deadline = with_model},
    {.name = "transform",
     .category = mutation,
     .run = transform_node,
     .help = "Applies changes to its state.",
     .args = changes_args,
     .returns = "{transformed: boolean, changes: object, handle: string, version: integer}",
     .effects = changes,
     .example = R"({"changes":{"colour":"red"}})"},
    {.name = "inspire",
     .category = generation,
     .run = idea::inspire,
     .help = "Something to begin with.",
     .returns = "string",
     .effects = tells,
     .deadline = with_model},
    {.name = "explain",
     .run = idea::explain,
     .help = "Explains it.",
     .args = level_args,
     .returns = "string",
     .effects = tells,
     .example = R"({"level":"basic"})",
     .deadline = with_model},
    {.name = "simplify",
     .run = idea::simplify,
     .help = "Says it in one plain sentence.",
     .returns = "string",
     .effects = tells,
     .deadline = with_model},
    {.name = "exemplify",
     .category = generation,
     .run = idea::exemplify,
     .help = "Gives an example and keeps it.",
     .args = example_args,
     .returns = "string",
     .effects = makes,
     .deadline = with_model},
    {.name = "assess",
     .run = idea::assess,
     .help = "Asks or checks whether it is understood.",
     .args = answer_args,
     .returns = "string",
     .effects = tells,
     .deadline = with_model},
    {.name = "lineage",
     .category = introspection,
     .run = idea::lineage_of,
     .help = "Where it comes from.",
     .returns = lineage_shape,
     .effects = "reads:concept"},
    {.name = "identify",
     .run = idea::identify,
     .help = "What makes it itself, or whether something is one.",
     .args = candidate_args,
     .returns = "{concept: string, identity: string, essence: string}"
                " | {concept: string, identity: string, candidate: string, score: number,"
                " is_one: boolean}",
     .effects = "reads:concept"},
    {.name = "execute",
     .category = mutation,
     .run = idea::execute,
     .help = "Runs the process on an input.",
     .args = input_args,
     .returns = "{concept: string, input: any, steps: [string], output: string, version: integer}",
     .effects = makes,
     .example = R"({"input":"a question"})",
     .deadline = with_model},
    {.name = "compose",
     .category = composition,
     .run = idea::compose,
     .help = "This process and then another.",
     .args = other_args,
     .returns = "{concept: string, other: string, composition: string, composable: boolean,"
                " steps: [string]}",
     .effects = "reads:concept",
     .example = R"({"other":"concept.process"})"},
    {.name = "connect",
     .category = mutation,
     .run = idea::connect,
     .help = "Adds a pair to the relation.",
     .args = pair_args,
     .returns = "{relation: string, source: string, target: string, status: string,"
                " count: integer}",
     .effects = changes,
     .example = R"({"source":"concept.cause","target":"concept.effect"})",
     .idempotent = true},
    {.name = "traverse",
     .run = idea::traverse,
     .help = "What can be reached along the relation.",
     .args = traverse_args,
     .returns = "{relation: string, source: string, depth: integer, reached: [string],"
                " count: integer}",
     .effects = "reads:concept",
     .example = R"({"source":"concept.cause"})"},
    {.name = "measure",
     .run = idea::measure,
     .help = "How much of the property something has.",
     .args = of_args,
     .returns = "{property: string, of: string, value: any, basis: string}",
     .effects = "reads:concept",
     .example = R"({"of":"a red wall"})"},
};

constexpr archetype_row rows[] = {
    {"philosopher", "refine dialectic synthesize analyze critique"},
    {"scientist", "hypothesize validate relate classify"},
    {"engineer", "implement decompose optimize validate"},
    {"artist", "interpret express transform inspire"},
    {"teacher", "explain simplify exemplify assess"},
    {"*", "relate"},
};

constexpr node_spec concept_node{.path = "concept.*",
                                 .description = "What something means, and where it comes from.",
                                 .aspects = aspects,
                                 .common = "define relate",
                                 .rows = rows,
                                 .resolve = idea::resolve};

}  // namespace

void register_concepts(registry& to) { to.add(concept_node); }

}  // namespace kgents::actors
