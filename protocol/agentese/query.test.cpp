#define CAF_SUITE query

#include "protocol/agentese/query.hpp"

#include <caf/test/dsl.hpp>
#include <chrono>
#include <limits>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

query right(std::string_view text) {
  auto parsed = parse_query(text);
  if (const auto* failure = std::get_if<error>(&parsed))
    CAF_FAIL(std::string{text} + ": " + failure->message);
  return std::get<query>(std::move(parsed));
}

error wrong(std::string_view text) {
  auto parsed = parse_query(text);
  if (std::holds_alternative<query>(parsed))
    CAF_FAIL("was accepted: " + std::string{text});
  return std::get<error>(std::move(parsed));
}

/// What glob_matches has to agree with: the definition, exponential and for short texts only.
bool slowly_matches(std::string_view glob, std::string_view text) {
  if (glob.empty())
    return text.empty();
  if (glob.front() == '*')
    return slowly_matches(glob.substr(1), text) ||
           (!text.empty() && slowly_matches(glob, text.substr(1)));
  return !text.empty() && text.front() == glob.front() &&
         slowly_matches(glob.substr(1), text.substr(1));
}

}  // namespace

CAF_TEST(missing parts are stars) {
  const auto x = right("?self");
  CAF_CHECK_EQUAL(x.parts[0], "self");
  CAF_CHECK_EQUAL(x.parts[1], "*");
  CAF_CHECK_EQUAL(x.parts[2], "*");
  CAF_CHECK(!x.asks_aspects());
  CAF_CHECK(right("?self.memory.?").asks_aspects());
  CAF_CHECK(right("?*.*.manifest").asks_aspects());
}

CAF_TEST(nodes and aspects are matched part by part) {
  CAF_CHECK(match(right("?world.*"), "world.house"));
  CAF_CHECK(match(right("?world.*"), "world.agent.b"));
  CAF_CHECK(!match(right("?world.*"), "worlds.house"));
  CAF_CHECK(match(right("?self"), "self.memory", "recall"));
  CAF_CHECK(match(right("?self.mem*"), "self.memory"));
  CAF_CHECK(!match(right("?self.mem"), "self.memory"));
  CAF_CHECK(!match(right("?self.memory"), "self.memory.crystal"));
  CAF_CHECK(match(right("?self.memory.?"), "self.memory", "recall"));
  CAF_CHECK(match(right("?*.*.manifest"), "void.entropy", "manifest"));
  CAF_CHECK(!match(right("?*.*.manifest"), "void.entropy", "sip"));
  CAF_CHECK(match(right("?*.*.*i*"), "void.entropy", "sip"));
  CAF_CHECK(!match(right("?nowhere.*"), "world.house"));
}

CAF_TEST(each failure has the message of the specification) {
  CAF_CHECK_EQUAL(wrong("").message, "Empty query pattern");
  CAF_CHECK_EQUAL(wrong("?").message, "Empty query pattern");
  CAF_CHECK_EQUAL(wrong("world.*").message, "Query pattern must start with '?'");
  CAF_CHECK_EQUAL(wrong("?a.b.c.d").message, "Query pattern too deep: 4 parts, at most 3");
  CAF_CHECK_EQUAL(wrong("?world.House").message, "Unexpected character: 'H'");
  CAF_CHECK_EQUAL(wrong("?world.a-b").message, "Unexpected character: '-'");
  CAF_CHECK_EQUAL(wrong("?world.?").message, "Unexpected character: '?'");
  CAF_CHECK_EQUAL(wrong("?world..a").message, "Invalid query part: ''");
  CAF_CHECK_EQUAL(wrong("?world.").message, "Invalid query part: ''");
  CAF_CHECK_EQUAL(wrong("?world.9").message, "Invalid query part: '9'");
  CAF_CHECK_EQUAL(wrong("?" + std::string(600, '*')).message,
                  "Query too long: 601 bytes, at most 512");
  CAF_CHECK_EQUAL(wrong("x").code, "QUERY_SYNTAX");
}

CAF_TEST(the cost depends on how much has to be looked at) {
  CAF_CHECK_EQUAL(cost_estimate(right("?self.memory.?")), 0.001);
  CAF_CHECK_EQUAL(cost_estimate(right("?void.entropy")), 0.01);
  CAF_CHECK_EQUAL(cost_estimate(right("?world.*")), 0.05);
  CAF_CHECK_EQUAL(cost_estimate(right("?self")), 0.05);
  CAF_CHECK_EQUAL(cost_estimate(right("?*.*.manifest")), 0.5);
  CAF_CHECK_EQUAL(cost_estimate(right("?*.memory")), 0.5);
}

CAF_TEST(limit and offset are clamped and too large a limit is refused) {
  const auto page = [](int64_t limit, int64_t offset) {
    return std::get<query_page>(checked_page(limit, offset));
  };
  CAF_CHECK_EQUAL(page(1000, 0).limit, 1000);
  CAF_CHECK_EQUAL(page(0, 0).limit, 1);
  CAF_CHECK_EQUAL(page(std::numeric_limits<int64_t>::min(), -1).limit, 1);
  CAF_CHECK_EQUAL(page(5, -7).offset, 0);
  CAF_CHECK_EQUAL(page(5, 7).offset, 7);
  const auto refused = std::get<error>(checked_page(1001, 0));
  CAF_CHECK_EQUAL(refused.message, "Max limit is 1000. Use pagination.");
  CAF_CHECK_EQUAL(refused.code, "QUERY_BOUND");
  CAF_CHECK_EQUAL(clamped_page(5000, 0).limit, 1000);
}

CAF_TEST(globs match as their definition says) {
  random_texts random{9};
  for (int i = 0; i < 200'000; ++i) {
    std::string glob;
    std::string text;
    for (auto n = random.below(8); n > 0; --n)
      glob.push_back("ab*"[random.below(3)]);
    for (auto n = random.below(10); n > 0; --n)
      text.push_back("ab"[random.below(2)]);
    if (glob_matches(glob, text) != slowly_matches(glob, text))
      CAF_FAIL(glob + " and " + text);
  }
}

CAF_TEST(no glob is slow) {
  const std::string text(510, 'a');
  std::string stars = "?*.";
  while (stars.size() < 500)
    stars += "a*";
  const std::string hostile[] = {stars + "b", "?*.*" + std::string(250, 'a') + "b*", stars};
  const auto begun = std::chrono::steady_clock::now();
  for (const auto& each : hostile) {
    const auto q = right(each);
    for (int i = 0; i < 10'000; ++i)
      if (match(q, "world." + text) != (each == stars))
        CAF_FAIL(each);
  }
  // 30,000 matches take a third of a second without optimisation; a quadratic search took minutes.
  CAF_CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds{20});
}

CAF_TEST(parse after print is the identity and garbage is refused) {
  random_texts random{10};
  for (int i = 0; i < 50'000; ++i) {
    std::string text = "?";
    for (auto parts = 1 + random.below(3); parts > 0; --parts) {
      if (text.size() > 1)
        text += ".";
      text += random.one_in(3)   ? "*"
              : random.one_in(3) ? "*" + random.identifier() + "*"
                                 : random.identifier();
    }
    const auto x = right(text);
    holds(x.text() == text, text);
    holds(right(x.text()) == x, text);
    const auto other = random.one_in(2) ? random.damaged(text) : random.garbage();
    const auto parsed = parse_query(other);
    if (const auto* q = std::get_if<query>(&parsed))
      holds(q->text() == other, other);
    else
      holds(!std::get<error>(parsed).suggested_action.empty(), other);
  }
}
