#define CAF_SUITE composition

#include "protocol/agentese/composition.hpp"

#include <caf/test/dsl.hpp>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

composition right(std::string_view text, const alias_table* aliases = nullptr) {
  auto parsed = parse_composition(text, aliases);
  if (const auto* failure = std::get_if<composition_error>(&parsed))
    CAF_FAIL(std::string{text} + ": " + failure->why.message);
  return std::get<composition>(std::move(parsed));
}

composition_error wrong(std::string_view text, const alias_table* aliases = nullptr) {
  auto parsed = parse_composition(text, aliases);
  if (std::holds_alternative<composition>(parsed))
    CAF_FAIL("was accepted: " + std::string{text});
  return std::get<composition_error>(std::move(parsed));
}

pipeline right_pipeline(std::string_view text, const alias_table* aliases = nullptr) {
  auto parsed = parse_pipeline(text, aliases);
  if (const auto* failure = std::get_if<syntax_error>(&parsed))
    CAF_FAIL(std::string{text} + ": " + failure->message);
  return std::get<pipeline>(std::move(parsed));
}

syntax_error wrong_pipeline(std::string_view text, const alias_table* aliases = nullptr) {
  auto parsed = parse_pipeline(text, aliases);
  if (std::holds_alternative<pipeline>(parsed))
    CAF_FAIL("was accepted: " + std::string{text});
  return std::get<syntax_error>(std::move(parsed));
}

composition random_composition(random_texts& random) {
  std::string text = random.one_in(4) ? "Id" : random.path();
  while (!random.one_in(3))
    text += random.one_in(2) ? ">>" + random.path() : " >>  Id";
  return right(text);
}

}  // namespace

CAF_TEST(stages are paths in the order they are written) {
  const auto x = right("world.doc.manifest >> concept.summary.refine >> self.memory.engram");
  CAF_REQUIRE_EQUAL(x.stages.size(), 3u);
  CAF_CHECK_EQUAL(x.stages[1].text(), "concept.summary.refine");
  CAF_CHECK_EQUAL(x.stages[2].at->aspect(), "engram");
  CAF_CHECK_EQUAL(x.text(), "world.doc.manifest >> concept.summary.refine >> self.memory.engram");
  CAF_CHECK(right("world.doc.manifest>>concept.summary.refine\t>>self.memory.engram") == x);
  const std::string paths[] = {"world.doc.manifest", "concept.summary.refine",
                               "self.memory.engram"};
  CAF_CHECK(std::get<composition>(parse_composition(paths)) == x);
}

CAF_TEST(Id stays a stage until the composition is flattened) {
  const auto x = right("Id >> world.a.b >> Id");
  CAF_CHECK_EQUAL(x.stages.size(), 3u);
  CAF_CHECK(x.stages[0].is_identity());
  CAF_CHECK_EQUAL(x.text(), "Id >> world.a.b >> Id");
  CAF_CHECK(x.flattened() == right("world.a.b"));
  CAF_CHECK(right("Id").flattened().stages.empty());
}

CAF_TEST(a failure names its stage and its place) {
  struct {
    std::string_view text;
    size_t stage;
    std::string_view message;
    size_t position;
  } const table[] = {
      {"", 0, "Empty path", 0},
      {">>", 0, "Empty path", 0},
      {"world.a.b >> ", 1, "Empty path", 13},
      {"world.a.b >> >> world.a.c", 1, "Empty path", 13},
      {"world.a.b >> world.a", 1, "Path must include aspect: 'world.a'", 20},
      {"world.a.b >> nowhere.a.b", 1, "Unknown context: 'nowhere'", 13},
      {"world.a.b > world.a.c", 0, "Unexpected character: ' '", 9},
      {"world.a.b >>> world.a.c", 1, "Unexpected character: '>'", 12},
      {"world.a.b >> world.a.B", 1, "Invalid aspect: 'B'", 21},
      {"world.a.b >> id", 1, "Path 'id' incomplete", 15},
      {"world.a.pipe(b) >> world.a.b", 0, "Unexpected character: '('", 12},
  };
  for (const auto& each : table) {
    const auto x = wrong(each.text);
    CAF_CHECK_EQUAL(x.stage, each.stage);
    CAF_CHECK_EQUAL(x.why.message, each.message);
    CAF_CHECK_EQUAL(x.why.position, each.position);
  }
  const std::vector<std::string> none;
  CAF_CHECK(std::holds_alternative<composition_error>(parse_composition(none)));
}

CAF_TEST(aliases are expanded in each stage and places stay those of the given text) {
  const auto& aliases = alias_table::standard();
  CAF_CHECK_EQUAL(right("me.challenge >> brain.engram", &aliases).text(),
                  "self.soul.challenge >> self.memory.engram");
  CAF_CHECK_EQUAL(right("world.me.manifest", &aliases).text(), "world.me.manifest");
  CAF_CHECK_EQUAL(wrong("world.a.b >> me.Challenge", &aliases).why.position, 16u);
  CAF_CHECK_EQUAL(wrong("world.a.b >> me", &aliases).why.position, 15u);
  CAF_CHECK_EQUAL(wrong_pipeline("me.Soul.pipe(a)", &aliases).position, 3u);
}

CAF_TEST(length and number of stages have bounds) {
  std::string text = "world.a.b";
  for (size_t i = 1; i < max_stages; ++i)
    text += ">>world.a.b";
  CAF_CHECK_EQUAL(right(text).stages.size(), max_stages);
  CAF_CHECK_EQUAL(wrong(text + ">>Id").why.message, "Composition too long: 65 stages, at most 64");
  CAF_CHECK(wrong(std::string(max_composition_bytes + 1, '>'))
                .why.message.starts_with("Composition too long"));
  const std::vector<std::string> many(1000, "world.a.b");
  CAF_CHECK(std::holds_alternative<composition_error>(parse_composition(many)));
}

CAF_TEST(composing is associative and Id is its identity on both sides) {
  random_texts random{5};
  const auto id = right("Id");
  for (int i = 0; i < 2'000; ++i) {
    const auto a = random_composition(random);
    const auto b = random_composition(random);
    const auto c = random_composition(random);
    const auto about = ((a >> b) >> c).text();
    holds(((a >> b) >> c) == (a >> (b >> c)), about);
    holds(((a >> b) >> c).flattened() == (a.flattened() >> (b >> c).flattened()), about);
    holds((id >> a).flattened() == a.flattened(), about);
    holds((a >> id).flattened() == a.flattened(), about);
    holds(a.flattened().flattened() == a.flattened(), about);
  }
}

CAF_TEST(parse after print is the identity) {
  random_texts random{6};
  for (int i = 0; i < 5'000; ++i) {
    const auto x = random_composition(random);
    holds(right(x.text()) == x, x.text());
  }
}

CAF_TEST(a pipeline has one node and aspects) {
  const auto x = right_pipeline("world.house.kitchen.pipe(manifest,measure ,  renovate)");
  CAF_CHECK_EQUAL(x.node, "world.house.kitchen");
  CAF_CHECK_EQUAL(x.aspects.size(), 3u);
  CAF_CHECK_EQUAL(x.text(), "world.house.kitchen.pipe(manifest, measure, renovate)");
  CAF_CHECK_EQUAL(right_pipeline("me.pipe(reflect)", &alias_table::standard()).node, "self.soul");
  CAF_CHECK(looks_like_pipeline("world.house.pipe(a)"));
  CAF_CHECK(!looks_like_pipeline("world.house.pipe"));
  CAF_CHECK(looks_like_composition("a.b.c>>Id"));
}

CAF_TEST(a wrong pipeline is told where) {
  struct {
    std::string_view text;
    std::string_view message;
    size_t position;
  } const table[] = {
      {"world.house.manifest", "Path must include aspect: 'world.house.manifest'", 20},
      {"world.house.tube(a)", "Unexpected character: '('", 16},
      {".pipe(a)", "Empty path", 0},
      {"world.pipe(a)", "Path 'world' incomplete", 5},
      {"nowhere.a.pipe(a)", "Unknown context: 'nowhere'", 0},
      {"nowhere.a.pipe(A)", "Invalid aspect: 'A'", 15},
      {"world.house.pipe(a, b", "Unclosed pipeline bracket", 16},
      {"world.house.pipe(a) ", "Unexpected character: ' '", 19},
      {"world.house.pipe()", "Invalid aspect: ''", 17},
      {"world.house.pipe(a,,b)", "Invalid aspect: ''", 19},
      {"world.house.pipe(a, )", "Invalid aspect: ''", 20},
      {"world.house.pipe(a, b.c)", "Unexpected character: '.'", 21},
      {"world.house.pipe(a, b c)", "Unexpected character: ' '", 21},
      {"world.house.pipe(a, (b))", "Unexpected character: '('", 20},
  };
  for (const auto& each : table) {
    const auto x = wrong_pipeline(each.text);
    CAF_CHECK_EQUAL(x.message, each.message);
    CAF_CHECK_EQUAL(x.position, each.position);
  }
}

CAF_TEST(every stage of an accepted pipeline is a path) {
  random_texts random{7};
  for (int i = 0; i < 20'000; ++i) {
    auto text = random.node() + ".pipe(" + random.identifier();
    while (!random.one_in(3))
      text += (random.one_in(2) ? "," : " , ") + random.identifier();
    text += ")";
    const auto x = right_pipeline(text);
    holds(right_pipeline(x.text()) == x, text);
    const auto damaged = random.damaged(text);
    const auto parsed = parse_pipeline(damaged);
    if (const auto* failure = std::get_if<syntax_error>(&parsed)) {
      holds(failure->position <= damaged.size(), damaged);
      continue;
    }
    for (const auto& aspect : std::get<pipeline>(parsed).aspects)
      holds(
          std::holds_alternative<path>(parse_path(std::get<pipeline>(parsed).node + "." + aspect)),
          damaged);
  }
}

CAF_TEST(garbage is refused with a place inside of it) {
  random_texts random{8};
  for (int i = 0; i < 50'000; ++i) {
    const auto text =
        random.one_in(2) ? random.garbage() : random.damaged(random_composition(random).text());
    for (const auto* aliases :
         {static_cast<const alias_table*>(nullptr), &alias_table::standard()}) {
      const auto parsed = parse_composition(text, aliases);
      if (const auto* failure = std::get_if<composition_error>(&parsed))
        holds(failure->why.position <= text.size(), text);
      else
        holds(right(std::get<composition>(parsed).text()) == std::get<composition>(parsed), text);
    }
  }
}
