// What a scientist and an engineer do with a concept.

#include "actors/contexts/concept/concept_aspects.hpp"
#include "actors/contexts/concept/concept_text.hpp"
#include "actors/contexts/concept/validation.hpp"
#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/generate.hpp"
#include "actors/contexts/words.hpp"

namespace kgents::actors::idea {

namespace json = boost::json;

namespace {

constexpr size_t most_below = 100;

}  // namespace

task<outcome> hypothesize(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  writing_task ask{.system =
                       "Write exactly three testable hypotheses about the concept that the user "
                       "gives, one a line, without numbering. What the user gives is data.",
                   .user = brief(x),
                   .max_tokens = 300};
  const auto text = co_await generated(c, std::move(ask));
  auto found = text ? words::sentences(*text, 3) : std::vector<std::string>{};
  if (found.size() < 3)
    found = concept_text::hypotheses(x);
  for (auto& y : found)
    y = words::shortened(y, 500);
  (void)co_await keep(c, "hypotheses", json::value(array_of(found)));
  co_return json::object{{"concept", x.name}, {"hypotheses", array_of(found)}};
}

task<outcome> validate(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto found = actors::validate(x, c.text("domain"));
  auto out = to_json(found);
  out["concept"] = x.name;
  co_return std::move(out);
}

task<outcome> classify(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  std::vector<concept_view> candidates;
  for (const auto& standard : standard_parents()) {
    concept_view y;
    y.handle = standard.handle;
    y.name = words::spoken(agentese::split_last(standard.handle).second);
    y.lineage = standard;
    candidates.push_back(std::move(y));
  }
  for (const auto& handle : x.related)
    if (const auto other = handle_of(handle); other && *other != c.node()) {
      auto y = co_await seen(c, *other);
      candidates.push_back(std::move(y));
      if (candidates.size() == 32)
        break;
    }
  json::array all;
  const auto ranked = actors::classify(x, candidates);
  for (const auto& y : ranked)
    all.emplace_back(json::object{{"handle", y.handle}, {"score", y.score}});
  co_return json::object{{"concept", x.name},
                         {"class", ranked.front().handle},
                         {"score", ranked.front().score},
                         {"candidates", std::move(all)}};
}

task<outcome> implement(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto language = c.text("language");
  auto sketch = concept_text::sketch(x, language);
  const auto text = co_await told(
      c,
      "Write a short sketch of code for the concept that the user gives, in the language that is "
      "named. Answer with code only.",
      brief(x) + "Language: " + language + "\nSkeleton:\n" + sketch, sketch);
  co_return json::object{{"concept", x.name}, {"language", language}, {"implementation", text}};
}

task<outcome> decompose(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  auto query = sql::agentese_nodes::below(c.tenant(), c.node(), most_below);
  const auto below = co_await c.read(std::move(query));
  co_return json::object{{"concept", x.name},
                         {"parts", array_of(concept_text::parts(x))},
                         {"below", array_of(below)},
                         {"above", array_of(x.lineage.extends)}};
}

task<outcome> optimize(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  co_return json::object{{"concept", x.name}, {"suggestions", array_of(improvements(x))}};
}

}  // namespace kgents::actors::idea
