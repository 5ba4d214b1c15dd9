// What an artist and a teacher say of a concept.

#include "actors/contexts/concept/concept_aspects.hpp"
#include "actors/contexts/concept/concept_text.hpp"
#include "actors/contexts/defined_node.hpp"

namespace kgents::actors::idea {

namespace json = boost::json;

task<outcome> interpret(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto lens = c.text("lens");
  auto text = co_await told(
      c,
      "Interpret the concept that the user gives through the lens that is named, in three "
      "sentences.",
      brief(x) + "Lens: " + lens, concept_text::interpretation(x, lens));
  co_return json::value(std::move(text));
}

task<outcome> express(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto medium = c.text("medium");
  auto text = co_await told(
      c, "Express the concept that the user gives as a short work in the medium that is named.",
      brief(x) + "Medium: " + medium, concept_text::expression(x, medium));
  co_return json::value(std::move(text));
}

task<outcome> inspire(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  auto text = co_await told(
      c, "Give one inspiring prompt for making something of the concept that the user gives.",
      brief(x), concept_text::inspiration(x));
  co_return json::value(std::move(text));
}

task<outcome> explain(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto level = c.text("level");
  auto text =
      co_await told(c, "Explain the concept that the user gives at the level that is named.",
                    brief(x) + "Level: " + level, concept_text::explanation(x, level));
  co_return json::value(std::move(text));
}

task<outcome> simplify(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  auto text =
      co_await told(c, "Say what the concept that the user gives means in one plain sentence.",
                    brief(x), concept_text::simplified(x));
  co_return json::value(std::move(text));
}

/// Kept: a concept with examples is one that has been tried.
task<outcome> exemplify(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  auto text = c.text("example");
  if (text.empty()) {
    auto made =
        co_await told(c, "Give one example of the concept that the user gives, in one sentence.",
                      brief(x), concept_text::example(x, x.examples.size()));
    text = std::move(made);
  }
  (void)co_await keep(c, "examples", json::value(text), 50);
  co_return json::value(std::move(text));
}

task<outcome> assess(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto answer = c.text("answer");
  const auto own = concept_text::assessment(x, answer);
  auto text = co_await told(
      c,
      "You assess whether somebody has understood the concept that the user gives. Without an "
      "answer, ask three questions; with one, say what it covers and what it lacks.",
      brief(x) + "Answer: " + answer, own);
  co_return json::value(std::move(text));
}

}  // namespace kgents::actors::idea
