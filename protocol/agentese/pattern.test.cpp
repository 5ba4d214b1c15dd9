#define CAF_SUITE pattern

#include "protocol/agentese/pattern.hpp"

#include <caf/test/dsl.hpp>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

pattern right(std::string_view text) {
  auto parsed = parse_pattern(text);
  if (const auto* failure = std::get_if<error>(&parsed))
    CAF_FAIL(std::string{text} + ": " + failure->message);
  return std::get<pattern>(std::move(parsed));
}

}  // namespace

CAF_TEST(each kind matches its nodes and no others) {
  struct {
    std::string_view pattern;
    std::string_view node;
    bool matches;
  } const table[] = {
      {"self.memory", "self.memory", true},
      {"self.memory", "self.memory.crystal", false},
      {"self.memory", "self.memoryx", false},
      {"self.*", "self.memory", true},
      {"self.*", "self.memory.crystal", false},
      {"self.*", "self", false},
      {"self.*", "selfish.memory", false},
      {"self.memory.*", "self.memory.crystal", true},
      {"self.memory.*", "self.memory", false},
      {"self.memory.*", "self.memory.a.b", false},
      {"self.**", "self.memory", true},
      {"self.**", "self.memory.a.b", true},
      {"self.**", "self", false},
      {"self.memory.**", "self.memory", false},
      {"self.memory.**", "self.memoryx.a", false},
      {"*", "world.house", true},
      {"**", "void.a.b.c", true},
  };
  for (const auto& each : table)
    if (matches(right(each.pattern), each.node) != each.matches)
      CAF_ERROR(std::string{each.pattern} + " and " + std::string{each.node});
}

CAF_TEST(what is no pattern is refused with what would be right) {
  for (auto text : {"", ".*", "self", "self.", "self.*.memory", "*.memory", "self.mem*", "***",
                    "self.***", "nowhere.*", "nowhere.**", "me.*", "Self.*", "self.memory.* ",
                    "self.memory.*.*", "self..*"}) {
    const auto parsed = parse_pattern(text);
    CAF_REQUIRE(std::holds_alternative<error>(parsed));
    CAF_CHECK(std::get<error>(parsed).suggested_action.find("x.**") != std::string::npos);
    CAF_CHECK_EQUAL(std::get<error>(parsed).code, "QUERY_SYNTAX");
  }
  CAF_CHECK(std::holds_alternative<error>(parse_pattern(std::string(1'000'000, 'a'))));
}

CAF_TEST(parse after print is the identity and garbage is refused) {
  random_texts random{11};
  for (int i = 0; i < 50'000; ++i) {
    auto text = random.node();
    if (random.one_in(2))
      text += random.one_in(2) ? ".*" : ".**";
    holds(right(text).text() == text, text);
    holds(right(right(text).text()) == right(text), text);
    const auto other = random.damaged(text);
    const auto parsed = parse_pattern(other);
    if (const auto* p = std::get_if<pattern>(&parsed))
      holds(p->text() == other, other);
  }
  CAF_CHECK(right(right("**").text()) == right("**"));
  CAF_CHECK(right(right("*").text()) == right("*"));
}
