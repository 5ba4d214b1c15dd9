// The six aspects that every node has, whoever asks (agentese.md section 4.1). A node that declares
// one of them itself answers with its own.

#include "actors/contexts/base_aspects.hpp"

#include <algorithm>

#include "sql/agentese_events.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

constexpr uint32_t most_ghosts = 5;

json::array texts(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

task<std::vector<std::string>> afforded(aspect_call& c) {
  auto out = c.entry().affordances(c.who().archetype, c.who().capabilities);
  if (c.entry().spec().resolve != nullptr) {
    const auto stored = co_await c.entry().spec().resolve(c);
    for (const auto& x : stored.extra)
      if (std::find(out.begin(), out.end(), x) == out.end())
        out.push_back(x);
  }
  co_return out;
}

task<outcome> manifest(aspect_call& c) {
  const auto names = co_await afforded(c);
  co_return json::object{{"summary", c.node()},
                         {"content", c.entry().spec().description},
                         {"metadata", json::object{{"path", c.node()}, {"aspects", texts(names)}}}};
}

task<outcome> witness(aspect_call& c) {
  const auto limit = static_cast<uint32_t>(c.integer("limit"));
  auto query = sql::agentese_events::of_path(c.tenant(), c.node(), limit);
  const auto events = co_await c.read(std::move(query));
  json::array history;
  for (const auto& x : events)
    history.emplace_back(json::object{{"action", x->shown_aspect()},
                                      {"timestamp", x->timestamp},
                                      {"observer", x->shown_archetype()},
                                      {"event", to_string(x->type)},
                                      {"status", x->status},
                                      {"duration_ms", x->duration_ms},
                                      {"trace_id", x->trace_id}});
  const auto count = history.size();
  co_return json::object{{"handle", c.node()}, {"history", std::move(history)}, {"count", count}};
}

task<outcome> affordances(aspect_call& c) {
  const auto names = co_await afforded(c);
  co_return json::object{{"handle", c.node()},
                         {"affordances", texts(names)},
                         {"observer_archetype", c.who().archetype}};
}

task<outcome> help(aspect_call& c) {
  const auto wanted = c.text("aspect");
  const auto names = co_await afforded(c);
  if (wanted.empty()) {
    json::array all;
    for (const auto& name : names)
      if (const auto* x = c.entry().find(name))
        all.emplace_back(json::object{{"aspect", name},
                                      {"category", to_string(x->spec->category)},
                                      {"description", x->spec->help}});
    co_return json::object{{"path", c.node()},
                           {"description", c.entry().spec().description},
                           {"aspects", std::move(all)}};
  }
  const auto* x = c.entry().find(wanted);
  if (x == nullptr || std::find(names.begin(), names.end(), wanted) == names.end())
    co_return agentese::errors::affordance_denied(c.node() + "." + wanted, wanted,
                                                  c.who().archetype, names);
  co_return help_of(*x);
}

/// What others may do here and this observer may not.
task<outcome> alternatives(aspect_call& c) {
  const auto mine = co_await afforded(c);
  json::array ghosts;
  for (const auto& x : c.entry().aspects()) {
    if (ghosts.size() == most_ghosts)
      break;
    if (x.spec->internal || std::find(mine.begin(), mine.end(), x.name()) != mine.end())
      continue;
    std::string hint = "available to";
    for (const auto& who : x.archetypes)
      hint += (&who == &x.archetypes.front() ? " " : ", ") + who;
    if (x.archetypes.empty())
      hint = "given to a node by its lineage";
    ghosts.emplace_back(json::object{
        {"aspect", x.name()}, {"hint", hint}, {"category", to_string(x.spec->category)}});
  }
  co_return json::object{{"path", c.node()}, {"alternatives", std::move(ghosts)}};
}

/// As a state machine: a node that nobody has defined offers to be defined, one that is there what
/// it affords.
task<outcome> polynomial(aspect_call& c) {
  const auto names = co_await afforded(c);
  const bool kept = c.entry().spec().resolve != nullptr;
  bool exists = true;
  if (kept)
    exists = (co_await c.entry().spec().resolve(c)).exists;
  json::array positions{"ready"};
  if (kept)
    positions = {"potential", "defined"};
  co_return json::object{{"positions", std::move(positions)},
                         {"current", !kept ? "ready" : exists ? "defined" : "potential"},
                         {"directions", texts(names)}};
}

constexpr argument limit_args[] = {{.name = "limit",
                                    .type = argument_type::integer,
                                    .default_json = "100",
                                    .meaning = "newest events, at most",
                                    .least = 1,
                                    .most = 100}};
constexpr argument help_args[] = {{.name = "aspect", .meaning = "of which; all when absent"}};

constexpr std::string_view help_shape =
    "{aspect: string, category: string, description: string, parameters: object, examples: array}"
    " | {path: string, description: string, aspects: array}";

constexpr aspect_spec base[] = {
    {.name = "manifest", .run = manifest, .help = "How the node shows itself to this observer."},
    {.name = "witness",
     .run = witness,
     .help = "What has happened at the node, newest last.",
     .args = limit_args,
     .returns = "{handle: string, history: [object], count: integer}",
     .effects = "reads:trace"},
    {.name = "affordances",
     .category = aspect_category::introspection,
     .run = affordances,
     .help = "What this observer may do here.",
     .returns = "{handle: string, affordances: [string], observer_archetype: string}"},
    {.name = "help",
     .category = aspect_category::introspection,
     .run = help,
     .help = "What an aspect is for and what it takes.",
     .args = help_args,
     .returns = help_shape},
    {.name = "alternatives",
     .category = aspect_category::introspection,
     .run = alternatives,
     .help = "Up to five aspects that other observers have.",
     .returns = "{path: string, alternatives: [{aspect: string, hint: string, category: string}]}"},
    {.name = "polynomial",
     .category = aspect_category::introspection,
     .run = polynomial,
     .help = "The states of the node, the present one, and what is legal next.",
     .returns = "{positions: [string], current: string, directions: [string]}"},
};

}  // namespace

std::span<const aspect_spec> base_aspects() { return base; }

json::object described(const aspect_call& c, const resolution& stored) {
  auto all = c.entry().affordances(c.who().archetype, c.who().capabilities);
  for (const auto& x : stored.extra)
    if (std::find(all.begin(), all.end(), x) == all.end())
      all.push_back(x);
  return {{"handle", c.node()}, {"exists", stored.exists}, {"affordances", texts(all)}};
}

json::object help_of(const aspect_entry& aspect) {
  json::array examples;
  if (!aspect.spec->example.empty())
    examples.emplace_back(aspect.spec->example);
  return {{"aspect", aspect.name()},
          {"category", to_string(aspect.spec->category)},
          {"description", aspect.spec->help},
          {"parameters", aspect.request_schema},
          {"examples", std::move(examples)}};
}

}  // namespace kgents::actors
