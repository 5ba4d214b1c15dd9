#define CAF_SUITE path

#include "protocol/agentese/path.hpp"

#include <caf/test/dsl.hpp>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

path right(std::string_view text, needs what = needs::aspect) {
  auto parsed = parse_path(text, what);
  if (const auto* failure = std::get_if<syntax_error>(&parsed))
    CAF_FAIL(std::string{text} + ": " + failure->message);
  return std::get<path>(parsed);
}

syntax_error wrong(std::string_view text, needs what = needs::aspect) {
  auto parsed = parse_path(text, what);
  if (std::holds_alternative<path>(parsed))
    CAF_FAIL("was accepted: " + std::string{text});
  return std::get<syntax_error>(parsed);
}

struct failure {
  std::string_view text;
  std::string_view message;
  size_t position;
  needs what = needs::aspect;
};

}  // namespace

CAF_TEST(the last segment is the aspect and the others are the node) {
  const auto x = right("self.memory.crystal.manifest");
  CAF_CHECK(x.context == context::self);
  CAF_CHECK_EQUAL(x.node, "self.memory.crystal");
  CAF_CHECK_EQUAL(x.holon, "memory");
  CAF_CHECK_EQUAL(x.aspect, "manifest");
  CAF_CHECK_EQUAL(x.segments, 3u);
  CAF_CHECK_EQUAL(x.text(), "self.memory.crystal.manifest");
}

CAF_TEST(a node path has no aspect) {
  for (auto text : {"world.house", "world.house.kitchen", "void.entropy"}) {
    const auto x = right(text, needs::node);
    CAF_CHECK_EQUAL(x.node, text);
    CAF_CHECK_EQUAL(x.aspect, "");
    CAF_CHECK_EQUAL(x.text(), text);
  }
}

CAF_TEST(the lenient parser supplies manifest to two segments and to no more) {
  CAF_CHECK_EQUAL(right("world.house", needs::lenient).text(), "world.house.manifest");
  CAF_CHECK_EQUAL(right("world.house.build", needs::lenient).aspect, "build");
  CAF_CHECK(wrong("world", needs::lenient).what == syntax_error::kind::incomplete);
}

CAF_TEST(all five contexts are known and no other) {
  for (size_t i = 0; i < context_names.size(); ++i) {
    const auto x = right(std::string{context_names[i]} + ".a.b");
    CAF_CHECK_EQUAL(static_cast<size_t>(x.context), i);
    CAF_CHECK_EQUAL(to_string(x.context), context_names[i]);
    CAF_CHECK(parse_context(context_names[i]) == x.context);
  }
  for (auto name : {"", "worl", "worlds", "World", "timE", "selv", "tide", "vold", "me"})
    CAF_CHECK(!parse_context(name));
}

CAF_TEST(each failure has the message of the specification and a position) {
  const failure table[] = {
      {"", "Empty path", 0},
      {"world", "Path 'world' incomplete", 5},
      {"invalid", "Path 'invalid' incomplete", 7},
      {"world.house", "Path must include aspect: 'world.house'", 11},
      {"invalid.path.here", "Unknown context: 'invalid'", 0},
      {"World.house.manifest", "Unknown context: 'World'", 0},
      {".house.manifest", "Unknown context: ''", 0},
      {"world..manifest", "Invalid holon: ''", 6},
      {"world.", "Invalid holon: ''", 6},
      {"world.House.manifest", "Invalid holon: 'House'", 6},
      {"world.my-house.manifest", "Invalid holon: 'my-house'", 6},
      {"world.9lives.manifest", "Invalid holon: '9lives'", 6},
      {"world._x.manifest", "Invalid holon: '_x'", 6},
      {"world.a.B.c", "Invalid holon: 'B'", 8},
      {"world.house.", "Invalid aspect: ''", 12},
      {"world.house.Manifest", "Invalid aspect: 'Manifest'", 12},
      {"world.house.mani-fest", "Invalid aspect: 'mani-fest'", 12},
      {"world.house.Kitchen", "Invalid holon: 'Kitchen'", 12, needs::node},
      {"world.house; rm -rf /", "Unexpected character: ';'", 11},
      {"world.house.../../etc/passwd", "Invalid holon: ''", 12},
      {"world.house.manifest/..", "Unexpected character: '/'", 20},
      {"world.house.manifest ", "Unexpected character: ' '", 20},
      {" world.house.manifest", "Unexpected character: ' '", 0},
      {"world.'house'.manifest", "Unexpected character: '''", 6},
      {"world.\"house\".manifest", "Unexpected character: '\"'", 6},
      {"world.h\xc3\xa4us.manifest", "Unexpected character: '\xc3\xa4'", 7},
      {"world.\xff.manifest", "Unexpected character: '\\xff'", 6},
      {"world.house\n.manifest", "Unexpected character: '\\x0a'", 11},
      {"world.house.manifest[phase=PLAN]", "Unexpected character: '['", 20},
      {"kg://tenant@host/world", "Unexpected character: ':'", 2},
  };
  for (const auto& each : table) {
    const auto x = wrong(each.text, each.what);
    CAF_CHECK_EQUAL(x.message, each.message);
    CAF_CHECK_EQUAL(x.position, each.position);
    CAF_CHECK(x.suggestion.size() > 10);
  }
  CAF_CHECK_EQUAL(wrong(std::string_view{"world.a\0b.c", 11}).message,
                  "Unexpected character: '\\x00'");
}

CAF_TEST(an unknown context is told apart from what breaks the grammar) {
  const auto unknown = wrong("wrold.house.manifest");
  CAF_CHECK(unknown.what == syntax_error::kind::unknown_context);
  CAF_CHECK_EQUAL(unknown.locus, "wrold");
  CAF_CHECK_EQUAL(unknown.suggestion,
                  "did you mean 'world'? the contexts are world, self, concept, void, time");
  CAF_CHECK(wrong("invalid.a.b; rm").what == syntax_error::kind::malformed);
  CAF_CHECK(wrong("World.a.b").what == syntax_error::kind::malformed);
  CAF_CHECK(wrong("invalid").what == syntax_error::kind::incomplete);
}

CAF_TEST(a suggestion repairs what is nearly a name) {
  CAF_CHECK(wrong("world.My-House.manifest").suggestion.starts_with("write 'my_house'"));
}

CAF_TEST(length and depth have bounds) {
  std::string deep = "world";
  for (size_t i = 1; i < max_segments; ++i)
    deep += ".a";
  CAF_CHECK_EQUAL(right(deep).segments, max_segments - 1);
  CAF_CHECK_EQUAL(right(deep, needs::node).segments, max_segments);
  CAF_CHECK_EQUAL(wrong(deep + ".a").message, "Path too deep: 17 segments, at most 16");
  CAF_CHECK_EQUAL(wrong(deep + ".").message, "Path too deep: 17 segments, at most 16");

  const auto longest = "world.a." + std::string(max_path_bytes - 8, 'b');
  CAF_CHECK_EQUAL(right(longest).text().size(), max_path_bytes);
  CAF_CHECK_EQUAL(wrong(longest + "b").message, "Path too long: 513 bytes, at most 512");
  CAF_CHECK(wrong(std::string(10'000'000, '.')).message.size() < 100);
}

CAF_TEST(an owned path outlives its text) {
  auto text = std::make_unique<std::string>("time.trace.deep.witness");
  auto owned = right(*text).owned();
  text.reset();
  const auto copy = owned;
  const auto x = copy.view();
  CAF_CHECK_EQUAL(x.node, "time.trace.deep");
  CAF_CHECK_EQUAL(x.holon, "trace");
  CAF_CHECK_EQUAL(x.aspect, "witness");
  CAF_CHECK(x.context == context::time);
  CAF_CHECK_EQUAL(x.segments, 3u);
  CAF_CHECK(copy == owned);
  const auto node = right("world.house", needs::node).owned();
  CAF_CHECK_EQUAL(node.view().holon, "house");
  CAF_CHECK_EQUAL(node.aspect(), "");
}

CAF_TEST(parse after print is the identity) {
  random_texts random{1};
  for (int i = 0; i < 20'000; ++i) {
    const auto text = random.path();
    const auto x = right(text);
    holds(x.text() == text, text);
    holds(x.owned().view() == x, text);
    holds(right(x.owned().text()) == x, text);
  }
}

CAF_TEST(garbage is refused with a place inside of it or accepted as it is printed) {
  random_texts random{2};
  for (int i = 0; i < 100'000; ++i) {
    const auto text = random.one_in(2) ? random.garbage() : random.damaged(random.path());
    for (auto what : {needs::aspect, needs::node}) {
      const auto parsed = parse_path(text, what);
      if (const auto* x = std::get_if<path>(&parsed)) {
        holds(x->text() == text, text);
        continue;
      }
      const auto& failure = std::get<syntax_error>(parsed);
      holds(failure.position <= text.size(), text);
      holds(!failure.message.empty() && !failure.suggestion.empty(), text);
      for (const char c : failure.message)
        holds(static_cast<unsigned char>(c) >= ' ', text);
    }
  }
}

CAF_TEST(printed texts are bounded and have no control characters) {
  CAF_CHECK_EQUAL(printable("a\tb\x7f\xe2\x82\xac\xe2\x82"), "a\\x09b\\x7f\xe2\x82\xac\\xe2\\x82");
  CAF_CHECK_EQUAL(printable("abcdef", 3), "abc…");
  CAF_CHECK_EQUAL(printable("abc", 3), "abc");
}
