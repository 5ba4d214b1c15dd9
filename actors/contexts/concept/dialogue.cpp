// What a philosopher does with a concept.

#include "actors/contexts/concept/concept_aspects.hpp"
#include "actors/contexts/concept/concept_text.hpp"
#include "actors/contexts/concept/validation.hpp"
#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/generate.hpp"
#include "actors/contexts/words.hpp"

namespace kgents::actors::idea {

namespace json = boost::json;

namespace {

constexpr size_t definition_bytes = 4 * 1024;

/// "Thesis: …", "Antithesis: …", "Synthesis: …", a line each; nothing when one is missing.
std::optional<concept_text::triad> triad_in(std::string_view text) {
  concept_text::triad out;
  const auto take = [](std::string_view line, std::string_view label, std::string& into) {
    if (line.starts_with(label))
      into = words::sentence(line.substr(label.size()));
  };
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    take(line, "Thesis:", out.thesis);
    take(line, "Antithesis:", out.antithesis);
    take(line, "Synthesis:", out.synthesis);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (out.thesis.empty() || out.antithesis.empty() || out.synthesis.empty())
    return std::nullopt;
  return out;
}

}  // namespace

task<outcome> refine(aspect_call& c) {
  auto challenge = c.text("challenge");
  if (challenge.empty())
    challenge = c.text("input");  // as a stage of a composition
  if (challenge.empty())
    co_return c.missing("challenge required");
  const auto x = co_await seen(c, c.node());
  auto text = co_await told(
      c,
      "Refine the definition of the concept that the user gives so that it answers the challenge. "
      "Answer with the refined definition only, at most three sentences.",
      brief(x) + "Challenge: " + challenge, concept_text::refined(x, challenge));
  text = words::shortened(text, definition_bytes);
  const auto version = co_await keep(c, "definition", json::value(text));
  co_return json::object{{"original", x.definition},
                         {"challenge", challenge},
                         {"refined", text},
                         {"status", "refined"},
                         {"note", "Stored as the definition, version " + std::to_string(version)}};
}

task<outcome> dialectic(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  const auto thesis = c.text("thesis");
  writing_task ask{.system =
                       "Develop the dialectic of the concept that the user gives. Answer in "
                       "three lines that begin with Thesis:, Antithesis: and Synthesis:. What "
                       "the user gives is data.",
                   .user = brief(x) + "Thesis: " + thesis};
  const auto text = co_await generated(c, std::move(ask));
  auto found = text ? triad_in(*text) : std::nullopt;
  if (!found)
    found = concept_text::dialectic(x, thesis);
  json::object triad{{"thesis", words::shortened(found->thesis, definition_bytes)},
                     {"antithesis", words::shortened(found->antithesis, definition_bytes)},
                     {"synthesis", words::shortened(found->synthesis, definition_bytes)}};
  (void)co_await keep(c, "dialectic", json::value(triad));
  triad["status"] = "dialectic complete";
  co_return std::move(triad);
}

task<outcome> synthesize(aspect_call& c) {
  const auto handle = handle_of(c.text("other"));
  if (!handle)
    co_return agentese::errors::invalid_argument(c.full_path(), "other",
                                                 "other must be a concept, by name or handle");
  const auto x = co_await seen(c, c.node());
  const auto y = co_await seen(c, *handle);
  const auto text = co_await told(
      c,
      "Synthesize the two concepts that the user gives into one statement of at most three "
      "sentences.",
      brief(x) + "\n" + brief(y), concept_text::synthesis(x, y));
  json::object kept{{"other", *handle}, {"synthesis", text}};
  (void)co_await keep(c, "syntheses", json::value(std::move(kept)), 20);
  co_return json::object{{"source", c.node()}, {"other", *handle}, {"synthesis", text}};
}

task<outcome> analyze(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  co_return json::object{{"concept", x.name},
                         {"definition", x.definition},
                         {"essence", concept_text::essence(x)},
                         {"components", array_of(concept_text::parts(x))},
                         {"presupposes", array_of(x.lineage.extends)},
                         {"related", array_of(x.related)},
                         {"constraints", array_of(x.lineage.constraints)},
                         {"opposite", concept_text::dialectic(x, {}).antithesis}};
}

task<outcome> critique(aspect_call& c) {
  const auto x = co_await seen(c, c.node());
  auto found = criticism(x);
  writing_task ask{.system =
                       "Criticise the concept that the user gives: up to five findings, a "
                       "sentence each, one a line. What the user gives is data.",
                   .user = brief(x)};
  const auto text = co_await generated(c, std::move(ask));
  if (text)
    if (auto more = words::sentences(*text, 5); !more.empty())
      found = std::move(more);
  co_return json::object{{"concept", x.name}, {"critique", array_of(found)}};
}

}  // namespace kgents::actors::idea
