// self.memory: contents that are found by likeness, and the traces that lead to them.

#include <boost/json/serialize.hpp>

#include "actors/contexts/self/language_game.hpp"
#include "actors/contexts/self/likeness.hpp"
#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/memory_aspects.hpp"
#include "sql/agentese_concept_memory.hpp"

namespace kgents::actors::self_memory {

namespace json = boost::json;
namespace concepts = sql::agentese_concept_memory;

namespace {

/// A result, as the node has it for what an argument names and is not there.
json::object no_such_concept(std::string_view id) {
  return {{"error", "concept not found: " + std::string{id.substr(0, 200)}}};
}

agentese::error bad_vector(const aspect_call& c, std::string_view argument) {
  return agentese::errors::invalid_argument(c.full_path(), argument,
                                            std::string{argument} + " must be a list of 1 to " +
                                                std::to_string(most_dimensions) +
                                                " finite numbers, not all 0");
}

json::array texts(const std::vector<std::string_view>& all) {
  json::array out;
  for (const auto x : all)
    out.emplace_back(x);
  return out;
}

task<outcome> rescale(aspect_call& c, std::string_view status) {
  const auto id = c.text("concept_id");
  auto look = concepts::room(c.tenant(), id);
  const auto room = co_await c.read(std::move(look));
  std::optional<double> resolution;
  if (room.exists) {
    auto query = concepts::rescale(c.tenant(), id, c.number("factor"));
    json::object change{{"concept_id", id}};
    const auto after = co_await c.write(std::move(query), std::move(change));
    resolution = after;
  }
  if (!resolution)
    co_return no_such_concept(id);
  co_return json::object{{"status", status}, {"concept_id", id}, {"new_resolution", *resolution}};
}

json::object shown(std::string_view id, const free_energy& x) {
  return {{"concept_id", id},
          {"free_energy", x.value()},
          {"complexity_cost", x.complexity_cost},
          {"accuracy_gain", x.accuracy_gain},
          {"retain", x.retain()},
          {"action", x.advice()}};
}

}  // namespace

task<outcome> store(aspect_call& c) {
  const auto id = c.text("concept_id");
  const auto content = c.text("content");
  std::optional<std::vector<float>> embedding;
  if (const auto* given = c.find("embedding")) {
    embedding = unit_vector(given->get_array());
    if (!embedding)
      co_return bad_vector(c, "embedding");
  }
  auto look = concepts::room(c.tenant(), id);
  const auto room = co_await c.read(std::move(look));
  if (!room.exists && room.count >= self_limits::concepts)
    co_return self_limits::reached(c, "concepts", self_limits::concepts,
                                   "store under an id that exists");
  auto query = concepts::put(c.tenant(), id, content, distinct_words(content), text_vector(content),
                             embedding);
  json::object change{{"stored", id}};
  const auto resolution = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"status", "stored"}, {"concept_id", id}, {"resolution", resolution}};
}

task<outcome> retrieve(aspect_call& c) {
  const auto& cue = *c.find("cue");
  std::optional<std::vector<float>> vector;
  if (cue.is_array())
    vector = unit_vector(cue.get_array());
  else if (cue.is_string())
    vector = text_vector(cue.get_string());
  else
    vector = text_vector(json::serialize(cue));
  if (!vector)
    co_return bad_vector(c, "cue");
  auto query = concepts::like(c.tenant(), *vector, !cue.is_array(), c.number("threshold"),
                              static_cast<size_t>(c.integer("limit")));
  const auto found = co_await c.read(std::move(query));
  json::array matches;
  for (const auto& x : found)
    matches.emplace_back(json::object{{"concept_id", x.id},
                                      {"similarity", std::min(x.similarity, 1.0)},
                                      {"resolution", x.resolution}});
  const auto count = matches.size();
  co_return json::object{{"matches", std::move(matches)}, {"count", count}};
}

task<outcome> compress(aspect_call& c) {
  const auto ratio = c.number("ratio");
  if (!(ratio > 0))
    co_return agentese::errors::invalid_argument(c.full_path(), "ratio",
                                                 "ratio must be above 0 and at most 1");
  auto query = concepts::rescale_all(c.tenant(), ratio);
  json::object change{{"ratio", ratio}};
  const auto done = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"status", "compressed"},
                         {"ratio", ratio},
                         {"concepts", done.count},
                         {"new_resolution", done.mean_resolution}};
}

task<outcome> promote(aspect_call& c) { return rescale(c, "promoted"); }
task<outcome> demote(aspect_call& c) { return rescale(c, "demoted"); }

task<outcome> deposit(aspect_call& c) {
  auto look = concepts::trace_count(c.tenant());
  const auto there = co_await c.read(std::move(look));
  if (there >= self_limits::traces)
    co_return self_limits::reached(c, "traces", self_limits::traces,
                                   "wait until older ones have faded");
  sql::new_trace trace;
  trace.id = uuid::random();
  trace.concept_name = c.text("concept");
  trace.intensity = c.number("intensity");
  trace.depositor = c.who().id;
  if (const auto* metadata = c.find("metadata"))
    trace.metadata = json::serialize(*metadata);
  auto query = concepts::deposit(c.tenant(), trace);
  json::object change{{"concept", trace.concept_name}, {"intensity", trace.intensity}};
  co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"status", "deposited"},
                         {"trace_id", trace.id.text()},
                         {"concept", trace.concept_name},
                         {"intensity", trace.intensity}};
}

task<outcome> sense(aspect_call& c) {
  auto query = concepts::gradients(c.tenant(), c.text("position"), 100);
  const auto found = co_await c.read(std::move(query));
  json::array gradients;
  for (const auto& x : found)
    gradients.emplace_back(json::object{{"concept", x.concept_name},
                                        {"total_intensity", x.total_intensity},
                                        {"trace_count", x.count},
                                        {"dominant_depositor", x.dominant_depositor}});
  const auto count = gradients.size();
  co_return json::object{{"gradients", std::move(gradients)}, {"count", count}};
}

task<outcome> play(aspect_call& c) {
  const auto game = c.text("game");
  const auto position = c.text("position");
  const auto all = positions_of(game);
  if (all.empty()) {
    std::string known;
    for (const auto x : games())
      known.append(known.empty() ? "" : ", ").append(x);
    co_return agentese::errors::invalid_argument(c.full_path(), "game",
                                                 "game must be one of " + known);
  }
  if (!c.has("direction")) {
    co_return json::object{{"game", game},
                           {"position", position},
                           {"directions", texts(directions_at(game, position))},
                           {"positions", texts(all)}};
  }
  const auto direction = c.text("direction");
  const auto to = moved(game, position, direction);
  co_return json::object{{"from_position", position},
                         {"direction", direction},
                         {"to_position", to ? json::value(*to) : json::value(position)},
                         {"is_grammatical", to.has_value()}};
}

task<outcome> evaluate(aspect_call& c) {
  const auto id = c.text("concept_id");
  auto query = concepts::get(c.tenant(), id);
  const auto stored = co_await c.read(std::move(query));
  if (!stored && !c.has("content"))
    co_return no_such_concept(id);
  const auto words = c.has("content") ? distinct_words(c.text("content")) : stored->words;
  const auto energy = energy_of(words, c.number("relevance"), stored ? stored->intensity : 0.0);
  auto out = shown(id, energy);
  out["thresholds"] = {{"promote", promote_at}, {"demote", demote_at}};
  co_return out;
}

/// Every stored concept, or the one that is named, by its own energy: up, down, or as it is.
task<outcome> inference_consolidate(aspect_call& c) {
  const auto id = c.text("concept_id");
  std::vector<sql::concept_memory> all;
  if (id.empty()) {
    auto query = concepts::list(c.tenant(), self_limits::concepts);
    auto found = co_await c.read(std::move(query));
    all = std::move(found);
  } else {
    auto query = concepts::get(c.tenant(), id);
    const auto one = co_await c.read(std::move(query));
    if (!one)
      co_return no_such_concept(id);
    all.push_back(*one);
  }
  constexpr double up = 1.2;
  constexpr double down = 0.5;
  std::vector<std::string> changed;
  std::vector<double> factors;
  uint64_t promoted = 0;
  double total = 0;
  for (const auto& x : all) {
    const bool given = c.has("content") && !id.empty();
    const auto words = given ? distinct_words(c.text("content")) : x.words;
    const auto relevance = c.has("relevance") ? c.number("relevance") : x.relevance;
    const auto energy = energy_of(words, relevance, x.intensity);
    total += energy.value();
    if (energy.advice() == "retain")
      continue;
    const bool better = energy.advice() == "promote";
    promoted += better ? 1 : 0;
    changed.push_back(x.id);
    factors.push_back(better ? up : down);
  }
  if (!changed.empty()) {
    auto query = concepts::rescale_each(c.tenant(), changed, factors);
    json::object change{{"promoted", promoted}, {"demoted", changed.size() - promoted}};
    co_await c.write(std::move(query), std::move(change));
  }
  co_return json::object{{"status", "consolidated"},
                         {"evaluated", all.size()},
                         {"promoted", promoted},
                         {"demoted", changed.size() - promoted},
                         {"retained", all.size() - changed.size()},
                         {"free_energy", total}};
}

}  // namespace kgents::actors::self_memory
