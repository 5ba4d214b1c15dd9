// self.memory: the table of its aspects.

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/memory_aspects.hpp"
#include "actors/contexts/self/nodes.hpp"

namespace kgents::actors::self_nodes {

using namespace self_memory;

namespace {

using enum aspect_category;
using enum argument_type;

constexpr argument recall_args[] = {
    {.name = "key", .meaning = "what it was stored under", .max_bytes = 256},
    {.name = "query", .meaning = "to be found in keys and values", .max_bytes = 1'024},
    {.name = "input", .type = any, .meaning = "of a composition: a text is the query"}};
constexpr argument forget_args[] = {{.name = "key", .required = true, .max_bytes = 256}};
constexpr argument prune_args[] = {{.name = "threshold",
                                    .type = number,
                                    .default_json = "0.1",
                                    .meaning = "less relevant memories go",
                                    .least = 0,
                                    .most = 1}};
constexpr argument label_args[] = {{.name = "label", .max_bytes = 200}};
constexpr argument engram_args[] = {
    {.name = "key", .meaning = "letters, digits, _ . / -; relative", .max_bytes = 256},
    {.name = "data",
     .type = any,
     .meaning = "what is to be remembered",
     .max_bytes = self_limits::memory_bytes},
    {.name = "subdirectory", .max_bytes = 256},
    {.name = "relevance",
     .type = number,
     .default_json = "1.0",
     .meaning = "prune drops the least relevant",
     .least = 0,
     .most = 1},
    {.name = "temporary",
     .type = boolean,
     .default_json = "false",
     .meaning = "until consolidate makes it firm"},
    {.name = "input",
     .type = any,
     .meaning = "of a composition: the data",
     .max_bytes = self_limits::memory_bytes}};

constexpr argument crystallize_args[] = {
    {.name = "context_window",
     .type = any,
     .required = true,
     .meaning = "the turns of the work, oldest first",
     .max_bytes = self_limits::window_bytes},
    {.name = "task_id", .required = true, .max_bytes = 200},
    {.name = "task_description", .required = true, .max_bytes = 4'000},
    {.name = "task_status", .default_json = "\"active\"", .max_bytes = 100},
    {.name = "progress", .type = number, .default_json = "0.0", .least = 0, .most = 1},
    {.name = "working_memory", .type = object, .max_bytes = 64 * 1024},
    {.name = "ttl_hours",
     .type = number,
     .default_json = "24.0",
     .meaning = "until it expires, unless it is cherished",
     .least = 0.001,
     .most = 8'784},
    {.name = "parent_crystal_id", .max_bytes = 64}};
constexpr argument resume_args[] = {{.name = "crystal_id", .required = true, .max_bytes = 64},
                                    {.name = "max_tokens",
                                     .type = integer,
                                     .default_json = "100000",
                                     .meaning = "of the window that comes back",
                                     .least = 0,
                                     .most = 10'000'000}};
constexpr argument cherish_args[] = {
    {.name = "crystal_id", .required = true, .max_bytes = 64},
    {.name = "uncherish", .type = boolean, .default_json = "false"}};
constexpr argument expiring_args[] = {{.name = "threshold",
                                       .default_json = "\"1h\"",
                                       .meaning = "90s, 30m, 1h, 2d",
                                       .max_bytes = 32}};

constexpr argument store_args[] = {{.name = "concept_id", .required = true, .max_bytes = 200},
                                   {.name = "content", .required = true, .max_bytes = 64 * 1024},
                                   {.name = "embedding",
                                    .type = array,
                                    .meaning = "of the content, by a model of the caller's",
                                    .max_bytes = 128 * 1024}};
constexpr argument retrieve_args[] = {
    {.name = "cue",
     .type = any,
     .required = true,
     .meaning = "a text, or a vector of the same model as the embeddings",
     .max_bytes = 128 * 1024},
    {.name = "threshold", .type = number, .default_json = "0.5", .least = -1, .most = 1},
    {.name = "limit", .type = integer, .default_json = "10", .least = 1, .most = 100}};
constexpr argument compress_args[] = {
    {.name = "ratio", .type = number, .default_json = "0.8", .least = 0, .most = 1}};
constexpr argument promote_args[] = {
    {.name = "concept_id", .required = true, .max_bytes = 200},
    {.name = "factor", .type = number, .default_json = "1.2", .least = 1, .most = 10}};
constexpr argument demote_args[] = {
    {.name = "concept_id", .required = true, .max_bytes = 200},
    {.name = "factor", .type = number, .default_json = "0.5", .least = 0.001, .most = 1}};
constexpr argument deposit_args[] = {
    {.name = "concept", .required = true, .max_bytes = 200},
    {.name = "intensity", .type = number, .default_json = "1.0", .least = 0.001, .most = 100},
    {.name = "metadata", .type = object, .max_bytes = 4'096}};
constexpr argument sense_args[] = {
    {.name = "position", .meaning = "what concepts are called, in part", .max_bytes = 200}};
constexpr argument play_args[] = {
    {.name = "game",
     .required = true,
     .meaning = "recall, consolidate or dialogue",
     .max_bytes = 64},
    {.name = "position", .required = true, .max_bytes = 64},
    {.name = "direction", .meaning = "none: which there are", .max_bytes = 64}};
constexpr argument evaluate_args[] = {
    {.name = "concept_id", .required = true, .max_bytes = 200},
    {.name = "content", .meaning = "none: what is stored", .max_bytes = 64 * 1024},
    {.name = "relevance", .type = number, .default_json = "0.5", .least = 0, .most = 1}};
constexpr argument inference_args[] = {
    {.name = "concept_id", .meaning = "none: all", .max_bytes = 200},
    {.name = "content", .max_bytes = 64 * 1024},
    {.name = "relevance", .type = number, .least = 0, .most = 1}};

constexpr std::string_view rescaled =
    "{status: string, concept_id: string, new_resolution: number} | {error: string}";

constexpr aspect_spec aspects[] = {
    {.name = "consolidate",
     .category = mutation,
     .run = consolidate,
     .help = "Makes what was stored as temporary stay.",
     .returns = "{consolidated: integer, total_memories: integer, status: string}",
     .effects = "writes:memory"},
    {.name = "prune",
     .category = mutation,
     .run = prune,
     .help = "Drops what is less relevant than a threshold.",
     .args = prune_args,
     .returns = "{pruned: integer, remaining: integer, threshold: number}",
     .effects = "deletes:memory"},
    {.name = "checkpoint",
     .category = generation,
     .run = checkpoint,
     .help = "Notes which memories there are now.",
     .args = label_args,
     .returns = "{timestamp: string, memory_count: integer, keys: [string], label: string}",
     .effects = "reads:memory, writes:memory"},
    {.name = "recall",
     .run = recall,
     .help = "What is remembered under a key, or what fits a query; else the newest keys.",
     .args = recall_args,
     .effects = "reads:memory",
     .example = R"({"query":"boats"})",
     .idempotent = true},
    {.name = "forget",
     .category = mutation,
     .run = forget,
     .help = "Removes a memory.",
     .args = forget_args,
     .returns = "{forgotten: string, status: string} | {status: 'not found', key: string}",
     .effects = "deletes:memory",
     .example = R"({"key":"notes/boat"})",
     .idempotent = true},
    {.name = "crystallize",
     .category = generation,
     .run = crystallize_window,
     .help = "Puts a working context aside, with its newest turns and a summary of the others.",
     .args = crystallize_args,
     .returns = "{status: string, crystal_id: string, agent: string, preserved_count: integer,"
                " dropped_count: integer, summary_length: integer, expires_at: string,"
                " pinned: boolean} | {error: string}",
     .effects = "writes:memory",
     .example = R"({"context_window":["We bought a sail.","It fits."],)"
                R"("task_id":"refit","task_description":"Refit the boat"})"},
    {.name = "resume",
     .run = resume,
     .help = "Takes up a working context that was put aside.",
     .args = resume_args,
     .returns = "{status: string, crystal_id: string, window: array, working_memory: object,"
                " summary: string, tokens: integer, truncated: boolean, pinned: boolean} | {error: "
                "string}",
     .effects = "reads:memory",
     .example = R"({"crystal_id":"00000000-0000-0000-0000-000000000000"})"},
    {.name = "cherish",
     .category = mutation,
     .run = cherish,
     .help = "Keeps a crystal from being reaped, or no longer.",
     .args = cherish_args,
     .returns = "{status: string, crystal_id: string, pinned: boolean} | {error: string}",
     .effects = "writes:memory",
     .example = R"({"crystal_id":"00000000-0000-0000-0000-000000000000"})",
     .idempotent = true},
    {.name = "engram",
     .category = mutation,
     .run = engram,
     .help = "Remembers data under a key.",
     .args = engram_args,
     .returns = "{status: string, key: string} | {error: string}",
     .effects = "writes:memory",
     .example = R"({"key":"notes/boat","data":{"name":"Ariel"}})",
     .idempotent = true},
    {.name = "store",
     .category = mutation,
     .run = store,
     .help = "Stores a content that is found by likeness.",
     .args = store_args,
     .returns = "{status: string, concept_id: string, resolution: number}",
     .effects = "writes:memory",
     .example = R"({"concept_id":"sailing","content":"Sailing boats need steady wind."})",
     .idempotent = true},
    {.name = "retrieve",
     .run = retrieve,
     .help = "The stored contents that are most like a cue.",
     .args = retrieve_args,
     .returns = "{matches: [{concept_id: string, similarity: number, resolution: number}],"
                " count: integer}",
     .effects = "reads:memory",
     .example = R"({"cue":"wind for a sailing boat","threshold":0.2})"},
    {.name = "compress",
     .category = mutation,
     .run = compress,
     .help = "Lowers the resolution of everything that is stored.",
     .args = compress_args,
     .returns = "{status: string, ratio: number, concepts: integer, new_resolution: number}",
     .effects = "writes:memory"},
    {.name = "promote",
     .category = mutation,
     .run = promote,
     .help = "Raises the resolution of a stored content.",
     .args = promote_args,
     .returns = rescaled,
     .effects = "writes:memory",
     .example = R"({"concept_id":"sailing"})"},
    {.name = "demote",
     .category = mutation,
     .run = demote,
     .help = "Lowers the resolution of a stored content.",
     .args = demote_args,
     .returns = rescaled,
     .effects = "writes:memory",
     .example = R"({"concept_id":"sailing"})"},
    {.name = "deposit",
     .category = mutation,
     .run = deposit,
     .help = "Leaves a trace at a concept; it loses a tenth each hour.",
     .args = deposit_args,
     .returns = "{status: string, trace_id: string, concept: string, intensity: number}",
     .effects = "writes:memory",
     .example = R"({"concept":"sailing"})"},
    {.name = "sense",
     .run = sense,
     .help = "Where the traces are strongest.",
     .args = sense_args,
     .returns = "{gradients: [{concept: string, total_intensity: number, trace_count: integer,"
                " dominant_depositor: string}], count: integer}",
     .effects = "reads:memory"},
    {.name = "play",
     .run = play,
     .help = "Makes a move in a game of language, or lists the legal ones.",
     .args = play_args,
     .returns = "{from_position: string, direction: string, to_position: string,"
                " is_grammatical: boolean} | {game: string, position: string,"
                " directions: [string], positions: [string]}",
     .example = R"({"game":"recall","position":"idle","direction":"cue"})",
     .idempotent = true},
    {.name = "evaluate",
     .run = evaluate,
     .help = "Whether keeping a content is worth what it costs.",
     .args = evaluate_args,
     .returns = "{concept_id: string, free_energy: number, complexity_cost: number,"
                " accuracy_gain: number, retain: boolean, action: string} | {error: string}",
     .effects = "reads:memory",
     .example = R"({"concept_id":"sailing","content":"Sailing boats need steady wind."})",
     .idempotent = true},
    {.name = "inference_consolidate",
     .category = mutation,
     .run = inference_consolidate,
     .help = "Promotes and demotes what is stored by what each is worth.",
     .args = inference_args,
     .returns = "{status: string, evaluated: integer, promoted: integer, demoted: integer,"
                " retained: integer, free_energy: number} | {error: string}",
     .effects = "reads:memory, writes:memory"},
    {.name = "reap",
     .category = mutation,
     .run = reap,
     .help = "Drops the crystals that have expired and are not cherished.",
     .returns = "{reaped: integer, events: [object], allocations_remaining: integer}",
     .effects = "deletes:memory"},
    {.name = "expiring_soon",
     .run = expiring_soon,
     .help = "The crystals that expire within a time.",
     .args = expiring_args,
     .returns = "{threshold_seconds: integer, expiring: [object], count: integer}",
     .effects = "reads:memory"},
};

}  // namespace

void register_memory(registry& to) {
  static constexpr node_spec spec{
      .path = "self.memory",
      .description = "What is remembered: values by key, working contexts, contents by likeness.",
      .aspects = aspects,
      .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
