#define CAF_SUITE legacy

#include "protocol/agentese/legacy.hpp"

#include <array>
#include <caf/test/dsl.hpp>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

legacy_path right(std::string_view text, strictness mode = strictness::strict,
                  needs what = needs::aspect) {
  auto parsed = parse_legacy(text, mode, what);
  if (const auto* failure = std::get_if<syntax_error>(&parsed))
    CAF_FAIL(std::string{text} + ": " + failure->message);
  return std::get<legacy_path>(std::move(parsed));
}

syntax_error wrong(std::string_view text, strictness mode = strictness::strict) {
  auto parsed = parse_legacy(text, mode);
  if (std::holds_alternative<legacy_path>(parsed))
    CAF_FAIL("was accepted: " + std::string{text});
  return std::get<syntax_error>(std::move(parsed));
}

std::string random_legacy(random_texts& random) {
  constexpr std::array<std::string_view, 10> clauses{
      "[phase=PLAN]",     "[phase=cross-synergize]", "[entropy=0.07]",  "[entropy=1]",
      "[law_check]",      "[law_check=false]",       "[rollback=TRUE]", "[rollback]",
      "[minimal_output]", "[entropy=1e-3]"};
  constexpr std::array<std::string_view, 6> annotations{"@span=a1.b-2",    "@phase=qa",
                                                        "@law_check=true", "@dot=x=y]z",
                                                        "@span=\xc3\xa9",  "@dot=world.a"};
  auto text = random.path();
  while (!random.one_in(3))
    text += clauses[random.below(clauses.size())];
  while (!random.one_in(3))
    text += annotations[random.below(annotations.size())];
  return text;
}

}  // namespace

CAF_TEST(modifiers stand behind the core and do not change it) {
  const auto x =
      right("concept.justice.refine[phase=develop][entropy=0.07][rollback]@span=s1@dot=n");
  CAF_CHECK_EQUAL(x.base_path(), "concept.justice.refine");
  CAF_CHECK_EQUAL(x.node_path(), "concept.justice");
  CAF_CHECK_EQUAL(x.full_path(),
                  "concept.justice.refine[phase=DEVELOP][entropy=0.07][rollback]@span=s1@dot=n");
  CAF_CHECK_EQUAL(x.clauses.size(), 3u);
  CAF_CHECK_EQUAL(x.annotations.size(), 2u);
  CAF_CHECK(x.phase() == "DEVELOP");
  CAF_CHECK(x.entropy() == 0.07);
  CAF_CHECK(x.span() == "s1");
  CAF_CHECK(x.core.view() == right("concept.justice.refine").core.view());
}

CAF_TEST(a text without modifiers is a legacy text) {
  CAF_CHECK(right("world.house.manifest").clauses.empty());
  CAF_CHECK(!has_modifiers("world.house.manifest"));
  CAF_CHECK(has_modifiers("world.house.manifest[rollback]"));
  CAF_CHECK_EQUAL(right("world.house[rollback]", strictness::strict, needs::lenient).full_path(),
                  "world.house.manifest[rollback]");
}

CAF_TEST(every phase is known in any case) {
  for (std::string name : {"PLAN", "RESEARCH", "DEVELOP", "STRATEGIZE", "CROSS-SYNERGIZE",
                           "IMPLEMENT", "QA", "TEST", "EDUCATE", "MEASURE", "REFLECT"}) {
    CAF_CHECK(right("self.a.b[phase=" + name + "]").phase() == name);
    std::string small = name;
    for (auto& c : small)
      c = c == '-' ? c : static_cast<char>(c + 32);
    CAF_CHECK(right("self.a.b@phase=" + small).phase() == name);
  }
}

CAF_TEST(each failure has the message of the specification and a position) {
  struct {
    std::string_view text;
    std::string_view message;
    size_t position;
  } const table[] = {
      {"", "Empty path", 0},
      {"[rollback]", "Empty path", 0},
      {"world[rollback]", "Path 'world' incomplete", 5},
      {"world.a.B[rollback]", "Invalid aspect: 'B'", 8},
      {"nowhere.a.b[rollback]", "Unknown context: 'nowhere'", 0},
      {"nowhere.a.b[rollback", "Unclosed clause bracket", 11},
      {"world.a.b[rollback", "Unclosed clause bracket", 9},
      {"world.a.b[roll[back]", "Unclosed clause bracket", 9},
      {"world.a.b[rollback]x", "Unexpected character: 'x'", 19},
      {"world.a.b[rollback] ", "Unexpected character: ' '", 19},
      {"world.a.b@span=s[rollback]", "Unexpected character: '['", 16},
      {"world.a.b@span=s t", "Unexpected character: ' '", 16},
      {"world.a.b@span=s\xff", "Unexpected character: '\\xff'", 16},
      {"world.a.b[speed=9]", "Unknown clause modifier: 'speed'", 10},
      {"world.a.b[]", "Unknown clause modifier: ''", 10},
      {"world.a.b[rollback=maybe]", "Unknown clause modifier: 'rollback=maybe'", 19},
      {"world.a.b[phase=SLEEP]", "Unknown phase: 'SLEEP'", 16},
      {"world.a.b[phase]", "Unknown phase: ''", 15},
      {"world.a.b@phase=SLEEP", "Unknown phase: 'SLEEP'", 16},
      {"world.a.b[entropy=1.5]", "Entropy out of range: 1.5", 18},
      {"world.a.b[entropy=-0.1]", "Entropy out of range: -0.1", 18},
      {"world.a.b[entropy=nan]", "Entropy out of range: nan", 18},
      {"world.a.b[entropy=inf]", "Entropy out of range: inf", 18},
      {"world.a.b[entropy=.5x]", "Entropy out of range: .5x", 18},
      {"world.a.b[entropy]", "Entropy out of range: ", 17},
      {"world.a.b@span", "Annotation missing value: '@span'", 10},
      {"world.a.b@span=", "Annotation missing value: '@span'", 10},
      {"world.a.b@", "Annotation missing value: '@'", 10},
      {"world.a.b@mood=calm", "Unknown annotation modifier: 'mood'", 10},
  };
  for (const auto& each : table) {
    const auto x = wrong(each.text);
    CAF_CHECK_EQUAL(x.message, each.message);
    CAF_CHECK_EQUAL(x.position, each.position);
    CAF_CHECK(x.suggestion.size() > 10);
  }
  CAF_CHECK(wrong("nowhere.a.b[rollback]").what == syntax_error::kind::unknown_context);
}

CAF_TEST(the lenient parser drops what it does not know and keeps the rest) {
  const auto x = right("world.a.b[speed=9][rollback]@mood=calm@x@span=s", strictness::lenient);
  CAF_CHECK_EQUAL(x.full_path(), "world.a.b[rollback]@span=s");
  CAF_CHECK_EQUAL(wrong("world.a.b[phase=SLEEP]", strictness::lenient).message,
                  "Unknown phase: 'SLEEP'");
  CAF_CHECK_EQUAL(wrong("world.a.b@span", strictness::lenient).message,
                  "Annotation missing value: '@span'");
}

CAF_TEST(length and number of modifiers have bounds) {
  std::string many = "world.a.b";
  for (size_t i = 0; i < max_modifiers; ++i)
    many += "[rollback]";
  CAF_CHECK_EQUAL(right(many).clauses.size(), max_modifiers);
  CAF_CHECK_EQUAL(wrong(many + "@span=s").message, "Too many modifiers: at most 16");
  CAF_CHECK_EQUAL(wrong(std::string(max_legacy_bytes + 1, '[')).message,
                  "Path too long: 2049 bytes, at most 2048");
}

CAF_TEST(parse after print is the identity) {
  random_texts random{3};
  for (int i = 0; i < 20'000; ++i) {
    auto text = random_legacy(random);
    auto parsed = parse_legacy(text);
    if (std::holds_alternative<syntax_error>(parsed)) {
      holds(std::get<syntax_error>(parsed).message.starts_with("Too many modifiers"), text);
      continue;
    }
    const auto& x = std::get<legacy_path>(parsed);
    holds(right(x.full_path()) == x, text);
    holds(right(x.full_path()).full_path() == x.full_path(), text);
  }
}

CAF_TEST(garbage is refused with a place inside of it or printed as what it means) {
  random_texts random{4};
  for (int i = 0; i < 100'000; ++i) {
    const auto text = random.one_in(2) ? random.path() + random.garbage(24)
                                       : random.damaged(random_legacy(random));
    for (auto mode : {strictness::strict, strictness::lenient}) {
      const auto parsed = parse_legacy(text, mode);
      if (const auto* failure = std::get_if<syntax_error>(&parsed))
        holds(failure->position <= text.size(), text);
      else
        holds(right(std::get<legacy_path>(parsed).full_path()) == std::get<legacy_path>(parsed),
              text);
    }
  }
}
