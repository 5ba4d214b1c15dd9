#define CAF_SUITE concept_text

#include "actors/contexts/concept/concept_text.hpp"

#include "actors/contexts/concept/blend.hpp"
#include "actors/contexts/concept/summary.hpp"
#include "actors/contexts/concept/validation.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace {

using texts = std::vector<std::string>;

concept_view justice() {
  concept_view out;
  out.handle = "concept.justice";
  out.name = "justice";
  out.definition = "Justice is giving everybody their due. It requires judges.";
  return out;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct fixture {};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(concept_text_tests, fixture)

CAF_TEST(a refined definition answers the challenge and keeps what was said) {
  const auto text = concept_text::refined(justice(), "What of strangers and animals?");
  CAF_CHECK(has(text, "giving everybody their due"));
  CAF_CHECK(has(text, "strangers"));
  CAF_CHECK(has(text, "animals"));
  CAF_CHECK_EQUAL(text, concept_text::refined(justice(), "What of strangers and animals?"));
  CAF_CHECK_NOT_EQUAL(text, concept_text::refined(justice(), "What of machines?"));
}

CAF_TEST(refining again and again stays bounded) {
  auto x = justice();
  for (int i = 0; i < 50; ++i)
    x.definition = concept_text::refined(x, "And what of number " + std::to_string(i) + "00?");
  CAF_CHECK(x.definition.size() < 3000);
}

CAF_TEST(the antithesis says the opposite) {
  CAF_CHECK_EQUAL(concept_text::negated("Justice is equality."), "Justice is not equality.");
  CAF_CHECK_EQUAL(concept_text::negated("Justice is not equality."), "Justice is equality.");
  CAF_CHECK_EQUAL(concept_text::negated("Men always lie"), "Men never lie.");
  CAF_CHECK_EQUAL(concept_text::negated("Nothing here"), "It is not so that nothing here.");
  const auto triad = concept_text::dialectic(justice(), "");
  CAF_CHECK_EQUAL(triad.thesis, "Justice is giving everybody their due.");
  CAF_CHECK_EQUAL(triad.antithesis, "Justice is not giving everybody their due.");
  CAF_CHECK(has(triad.synthesis, "justice"));
}

CAF_TEST(there are three hypotheses whatever is known) {
  CAF_CHECK_EQUAL(concept_text::hypotheses({}).size(), 3u);
  auto x = justice();
  x.related = {"concept.equality"};
  const auto all = concept_text::hypotheses(x);
  CAF_CHECK_EQUAL(all.size(), 3u);
  CAF_CHECK(has(all.front(), "equality"));
}

CAF_TEST(the simple form leaves out what qualifies) {
  auto x = justice();
  x.definition = "Justice is giving everybody their due, as far as it is known (at law).";
  CAF_CHECK_EQUAL(concept_text::simplified(x), "Justice is giving everybody their due.");
  CAF_CHECK(has(concept_text::explanation(x, "advanced"), "Open:"));
}

CAF_TEST(an answer is assessed by what it covers) {
  const auto good = concept_text::assessment(justice(), "giving everybody due requires judges");
  const auto bad = concept_text::assessment(justice(), "something about law");
  CAF_CHECK(has(good, "100 %"));
  CAF_CHECK(has(bad, "Not mentioned"));
}

CAF_TEST(a sketch is in the language that is asked for) {
  auto x = justice();
  x.lineage.affordances = {"manifest", "identify"};
  CAF_CHECK(has(concept_text::sketch(x, "Python"), "class Justice:"));
  CAF_CHECK(has(concept_text::sketch(x, "rust"), "pub struct Justice"));
  CAF_CHECK(has(concept_text::sketch(x, "go"), "Identify("));
  CAF_CHECK(has(concept_text::sketch(x, "klingon"), "does identify"));
}

CAF_TEST(a concept is valid when nothing is missing) {
  auto x = justice();
  CAF_CHECK(!validate(x, "").valid());
  x.examples = {"a verdict"};
  x.related = {"concept.law"};
  CAF_CHECK(!validate(x, "").valid());
  CAF_CHECK(validate(x, "law").valid());
  CAF_CHECK_EQUAL(to_json(validate(x, "law")).at("criteria_checked").as_int64(), 4);
}

CAF_TEST(criticism finds circles and vague words) {
  auto x = justice();
  x.definition = "Justice is justice and nice things";
  const auto found = criticism(x);
  CAF_CHECK(has(found[0], "uses justice"));
  CAF_CHECK(has(found[1], "things"));
  CAF_CHECK_EQUAL(criticism({}).empty(), false);
  CAF_CHECK(!has(criticism(justice())[0], "uses justice"));
}

CAF_TEST(what it may do tells its kind) {
  auto x = justice();
  x.lineage = *standard_parent("concept.process");
  std::vector<concept_view> candidates;
  for (const auto& y : standard_parents()) {
    concept_view one;
    one.handle = y.handle;
    one.lineage = y;
    candidates.push_back(std::move(one));
  }
  const auto ranked = classify(x, candidates);
  CAF_CHECK_EQUAL(ranked.size(), 5u);
  CAF_CHECK(ranked.front().handle == "concept.process" || ranked.front().score >= 0.5);
  for (const auto& y : ranked)
    CAF_CHECK(y.score >= 0 && y.score <= 1);
}

CAF_TEST(a blend keeps what both have and finds what neither had) {
  const auto x = blend_of(space_of("house", "A place with rooms where people live"),
                          space_of("boat", "A vessel with rooms on which people sail"));
  CAF_CHECK_EQUAL(x.generic, (texts{"rooms", "people"}));
  CAF_CHECK_EQUAL(x.emergent.empty(), false);
  CAF_CHECK(x.alignment > 0 && x.alignment < 1);
  const auto same = blend_of(space_of("house", ""), space_of("house", ""));
  CAF_CHECK_EQUAL(same.alignment, 1.0);
  CAF_CHECK(same.emergent.empty());
  const auto empty = blend_of({}, {});
  CAF_CHECK_EQUAL(empty.alignment, 0.0);
}

CAF_TEST(a summary drops what has nothing to do with the rest) {
  const std::string text =
      "The house has a garden. The garden of the house is green. Interest rates rose sharply.";
  const auto x = summarized(text, 0.5);
  CAF_CHECK_EQUAL(x.dropped, 1u);
  CAF_CHECK(!has(x.text, "Interest"));
  CAF_CHECK(x.coherence >= 0.5);
  CAF_CHECK_EQUAL(summarized(text, 0).dropped, 0u);
  CAF_CHECK_EQUAL(summarized("", 1).text, "");
  CAF_CHECK_EQUAL(text_of(boost::json::object{{"content", "this"}, {"x", 1}}), "this");
}

CAF_TEST_FIXTURE_SCOPE_END()
