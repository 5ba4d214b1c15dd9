// What a concept can do because of what it extends: an entity is identified, a process executed, a
// relation traversed, a property measured (agentese.md 14.1).

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <map>

#include "actors/contexts/concept/concept_aspects.hpp"
#include "actors/contexts/concept/concept_text.hpp"
#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/words.hpp"

namespace kgents::actors::idea {

namespace json = boost::json;

namespace {

/// Pairs that a relation keeps, steps and runs that a process does.
constexpr size_t most_pairs = 500;
constexpr size_t most_runs = 50;

struct pair {
  std::string source;
  std::string target;
};

std::vector<pair> pairs_of(const stored_node& node) {
  std::vector<pair> out;
  for (const auto& x : list_in(node.state, "pairs"))
    if (x.is_object())
      out.push_back({text_in(x.get_object(), "source"), text_in(x.get_object(), "target")});
  return out;
}

}  // namespace

/// Whether something is one of these: by how much of the definition it shows.
task<outcome> identify(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto candidate = c.text("candidate");
  if (candidate.empty())
    co_return json::object{
        {"concept", x.name}, {"identity", c.node()}, {"essence", concept_text::essence(x)}};
  const auto score = words::overlap(x.name + " " + x.definition, candidate);
  co_return json::object{{"concept", x.name},
                         {"identity", c.node()},
                         {"candidate", candidate},
                         {"score", score},
                         {"is_one", score >= 0.3}};
}

/// Runs the process on an input: its steps are the sentences of its definition, each told what the
/// one before left. What ran is kept.
task<outcome> execute(aspect_call& c) {
  const auto* input = c.find("input");
  if (input == nullptr)
    co_return c.missing("input required");
  const auto x = co_await seen(c, c.node());
  auto steps = words::sentences(x.definition, 16);
  if (steps.empty())
    steps.push_back(x.name);
  json::array done;
  for (const auto& step : steps)
    done.emplace_back(step);
  const auto given =
      input->is_string() ? std::string{input->get_string()} : json::serialize(*input);
  const auto text = co_await told(
      c, "Carry out the process that the user gives on the input, and answer with its output only.",
      brief(x) + "Input: " + words::shortened(given, 4096),
      words::shortened(given, 4096) + " → " + words::listed(steps, 16));
  json::object run{{"input", words::shortened(given, 512)},
                   {"output", words::shortened(text, 512)},
                   {"timestamp", c.now_text()}};
  const auto version = co_await keep(c, "runs", json::value(std::move(run)), most_runs);
  co_return json::object{{"concept", x.name},
                         {"input", *input},
                         {"steps", std::move(done)},
                         {"output", text},
                         {"version", version}};
}

/// This process and then another: what comes out of the first has to be what the second takes.
task<outcome> compose(aspect_call& c) {
  const auto handle = handle_of(c.text("other"));
  if (!handle)
    co_return agentese::errors::invalid_argument(c.full_path(), "other",
                                                 "other must be a concept, by name or handle");
  const auto x = co_await seen(c, c.node());
  const auto y = co_await seen(c, *handle);
  const auto& may = y.lineage.affordances;
  const bool process = std::find(may.begin(), may.end(), "execute") != may.end();
  auto steps = words::sentences(x.definition, 16);
  for (auto& step : words::sentences(y.definition, 16))
    steps.push_back(std::move(step));
  co_return json::object{{"concept", x.name},
                         {"other", *handle},
                         {"composition", c.node() + ".execute >> " + *handle + ".execute"},
                         {"composable", process},
                         {"steps", array_of(steps)}};
}

task<outcome> connect(aspect_call& c) {
  const auto source = c.text("source");
  const auto target = c.text("target");
  const auto held = co_await node_store::lock(c, c.node());
  auto node = co_await editable(c, c.node());
  const auto pairs = pairs_of(node);
  const bool known = std::any_of(pairs.begin(), pairs.end(), [&](const auto& x) {
    return x.source == source && x.target == target;
  });
  if (!known && pairs.size() >= most_pairs)
    co_return agentese::errors::invalid_argument(
        c.full_path(), "source",
        "a relation keeps at most " + std::to_string(most_pairs) + " pairs");
  json::object one{{"source", source}, {"target", target}};
  auto count = pairs.size();
  if (!known) {
    append(node.state, "pairs", one, most_pairs);
    remember(node, c, one);
    (void)co_await node_store::save(c, std::move(node), one);
    ++count;
  }
  co_return json::object{{"relation", c.node()},
                         {"source", source},
                         {"target", target},
                         {"status", known ? "already connected" : "connected"},
                         {"count", count}};
}

/// What can be reached from `source` along the relation's pairs.
task<outcome> traverse(aspect_call& c) {
  const auto node = co_await explored(c);
  const auto source = c.text("source");
  const auto depth = c.integer("depth");
  std::multimap<std::string, std::string> along;
  for (auto& x : pairs_of(*node))
    along.emplace(std::move(x.source), std::move(x.target));
  std::vector<std::string> reached;
  std::vector<std::string> front{source};
  for (int64_t step = 0; step < depth && !front.empty(); ++step) {
    std::vector<std::string> next;
    for (const auto& from : front) {
      const auto [begin, end] = along.equal_range(from);
      for (auto at = begin; at != end; ++at)
        if (at->second != source &&
            std::find(reached.begin(), reached.end(), at->second) == reached.end()) {
          reached.push_back(at->second);
          next.push_back(at->second);
        }
    }
    front = std::move(next);
  }
  const auto count = reached.size();
  co_return json::object{{"relation", c.node()},
                         {"source", source},
                         {"depth", depth},
                         {"reached", array_of(reached)},
                         {"count", count}};
}

/// What was stored as its measure; else how much of the property's definition the text shows.
task<outcome> measure(aspect_call& c) {
  const auto node = co_await explored(c);
  const auto of = c.text("of");
  if (const auto* all = node->state.if_contains("measurements"); all != nullptr && all->is_object())
    if (const auto* x = all->get_object().if_contains(of))
      co_return json::object{
          {"property", c.node()}, {"of", of}, {"value", *x}, {"basis", "stored"}};
  const auto x = view_of(*node);
  if (x.definition.empty())
    co_return json::object{
        {"property", c.node()}, {"of", of}, {"value", "unmeasured"}, {"basis", "none"}};
  co_return json::object{{"property", c.node()},
                         {"of", of},
                         {"value", words::overlap(x.name + " " + x.definition, of)},
                         {"basis", "overlap"}};
}

}  // namespace kgents::actors::idea
