// self.vitals and self.forest: how the process, the database and the tenant's share of both are.

#include <unistd.h>

#include <chrono>
#include <fstream>

#include "actors/contexts/context.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "sql/agentese_figures.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;

namespace {

/// The process as the kernel sees it, and what it tells of itself. /proc answers from memory.
json::object process_figures(const aspect_call& c) {
  json::object out;
  if (c.services().vitals)
    out = c.services().vitals();
  std::ifstream memory{"/proc/self/statm"};
  int64_t pages = 0;
  int64_t resident = 0;
  if (memory >> pages >> resident)
    out["resident_bytes"] = resident * ::sysconf(_SC_PAGESIZE);
  std::ifstream status{"/proc/self/status"};
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Threads:"))
      out["threads"] = std::atoi(line.c_str() + 8);
  // Field 22 of stat: when it started, in ticks since the machine did. The name before it may
  // hold anything, so it is read from behind the last parenthesis.
  std::ifstream stat{"/proc/self/stat"};
  std::string text{std::istreambuf_iterator<char>{stat}, {}};
  std::ifstream up{"/proc/uptime"};
  double machine_seconds = 0;
  if (const auto end = text.rfind(')'); end != std::string::npos && up >> machine_seconds) {
    std::istringstream rest{text.substr(end + 1)};
    std::string field;
    for (int i = 3; i <= 22; ++i)
      rest >> field;
    const auto started =
        std::strtod(field.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    out["uptime_seconds"] = static_cast<int64_t>(std::max(0.0, machine_seconds - started));
  }
  return out;
}

struct measured {
  sql::vital_signs signs;
  double round_trip_ms = 0;
};

task<measured> measure(aspect_call& c) {
  const auto began = std::chrono::steady_clock::now();
  auto query = sql::agentese_figures::vitals(c.tenant());
  measured out;
  auto signs = co_await c.read(std::move(query));
  out.signs = std::move(signs);
  out.round_trip_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  co_return std::move(out);
}

double share_of(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

json::object durability_of(const sql::vital_signs& x) {
  const bool durable = !x.in_recovery && x.synchronous_commit != "off" && x.fsync == "on";
  return {{"status", x.in_recovery ? "unavailable"
                     : durable     ? "healthy"
                                   : "degraded"},
          {"synchronous_commit", x.synchronous_commit},
          {"fsync", x.fsync},
          {"in_recovery", x.in_recovery}};
}

json::object resonance_of(const sql::vital_signs& x) {
  const auto failed = share_of(x.errors, x.invocations);
  return {{"status", x.invocations == 0 ? "idle"
                     : failed > 0.5     ? "dissonant"
                                        : "resonant"},
          {"invocations", x.invocations},
          {"errors", x.errors},
          {"refusals", x.refusals},
          {"success_share", x.invocations == 0 ? 1.0 : 1.0 - failed}};
}

json::object reflex_of(const sql::vital_signs& x, double round_trip_ms) {
  return {{"status", x.p95_ms > 1'000 ? "slow" : "quick"},
          {"database_round_trip_ms", round_trip_ms},
          {"invocation_median_ms", x.median_ms},
          {"invocation_p95_ms", x.p95_ms},
          {"invocation_longest_ms", x.longest_ms}};
}

task<outcome> triad(aspect_call& c) {
  const auto x = co_await measure(c);
  auto durability = durability_of(x.signs);
  auto resonance = resonance_of(x.signs);
  auto reflex = reflex_of(x.signs, x.round_trip_ms);
  const bool well = durability["status"] == "healthy" && resonance["status"] != "dissonant" &&
                    reflex["status"] == "quick";
  co_return json::object{{"status", well ? "healthy" : "degraded"},
                         {"durability", std::move(durability)},
                         {"resonance", std::move(resonance)},
                         {"reflex", std::move(reflex)},
                         {"process", process_figures(c)}};
}

/// The tenant's event log: what subscriptions and traces are fed from.
task<outcome> synapse(aspect_call& c) {
  const auto x = co_await measure(c);
  const auto& idle = x.signs.idle_seconds;
  co_return json::object{{"status", idle ? "firing" : "silent"},
                         {"last_seq", x.signs.last_seq},
                         {"retained", x.signs.last_seq - x.signs.trimmed_seq},
                         {"idle_seconds", idle ? json::value(*idle) : json::value{}}};
}

task<outcome> resonance(aspect_call& c) {
  const auto x = co_await measure(c);
  co_return resonance_of(x.signs);
}

/// Where calls leave the process.
task<outcome> circuit(aspect_call& c) {
  const auto x = co_await measure(c);
  json::object out{{"status", x.signs.in_recovery ? "open" : "closed"},
                   {"model", c.has_model() ? "configured" : "embedded"},
                   {"database", x.signs.in_recovery ? "read_only" : "writable"}};
  if (c.services().vitals)
    out["process"] = c.services().vitals();
  co_return out;
}

task<outcome> durability(aspect_call& c) {
  const auto x = co_await measure(c);
  co_return durability_of(x.signs);
}

task<outcome> reflex(aspect_call& c) {
  const auto x = co_await measure(c);
  co_return reflex_of(x.signs, x.round_trip_ms);
}

json::object counts_of(const sql::tenant_counts& x) {
  return {{"memories", x.memories}, {"crystals", x.crystals},
          {"concepts", x.concepts}, {"pending_decisions", x.pending_decisions},
          {"sessions", x.sessions}, {"defined_nodes", x.defined_nodes}};
}

task<outcome> forest(aspect_call& c) {
  auto query = sql::agentese_figures::counts(c.tenant());
  const auto counts = co_await c.read(std::move(query));
  const auto stats = c.services().nodes->stats();
  const auto trees = counts.defined_nodes;
  co_return json::object{
      {"summary", "The forest: " + std::to_string(trees) + (trees == 1 ? " node" : " nodes") +
                      " of its own, " + std::to_string(counts.memories) +
                      (counts.memories == 1 ? " memory" : " memories")},
      {"content", "What grows here, by kind."},
      {"metadata", {{"path", c.node()}, {"counts", counts_of(counts)}, {"registry", stats}}}};
}

constexpr std::string_view status_shape = "{status: string}";

constexpr aspect_spec vital_aspects[] = {
    {.name = "triad",
     .run = triad,
     .help = "Durability, resonance and reflex at once, and the process.",
     .returns = "{status: string, durability: object, resonance: object, reflex: object,"
                " process: object}"},
    {.name = "synapse",
     .run = synapse,
     .help = "The log that everything else is told by.",
     .returns = "{status: string, last_seq: integer, retained: integer,"
                " idle_seconds: integer | null}"},
    {.name = "resonance",
     .run = resonance,
     .help = "How many of the newest invocations came to something.",
     .returns = status_shape},
    {.name = "circuit",
     .run = circuit,
     .help = "What lies outside the process, and whether it is reached.",
     .returns = status_shape},
    {.name = "durability",
     .run = durability,
     .help = "Whether what is stored stays stored.",
     .returns = status_shape},
    {.name = "reflex", .run = reflex, .help = "How quickly it answers.", .returns = status_shape},
};

constexpr aspect_spec forest_aspects[] = {
    {.name = "manifest",
     .run = forest,
     .help = "What a tenant has, by kind.",
     .returns = "{summary: string, content: string, metadata: object}",
     .effects = "reads:forest"},
};

}  // namespace

void register_vitals(registry& to) {
  static constexpr node_spec nodes[] = {
      {.path = "self.vitals",
       .description = "How this self is: what it measures of itself.",
       .aspects = vital_aspects,
       .common = "*"},
      {.path = "self.forest",
       .description = "An overview of everything a tenant has.",
       .aspects = forest_aspects,
       .common = "*"},
  };
  to.add(nodes);
}

}  // namespace kgents::actors::self_nodes
