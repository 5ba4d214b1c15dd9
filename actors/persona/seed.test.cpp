#define CAF_SUITE seed

#include "actors/persona/seed.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::persona;

using list = std::vector<std::string>;

CAF_TEST(a preference matches when any of its words is inside the message) {
  CAF_CHECK(match("What is HONESTY worth?", default_seed()).preferences ==
            (list{"intellectual honesty"}));
  CAF_CHECK(match("my new features", default_seed()).preferences ==
            (list{"avoiding feature creep"}));
  CAF_CHECK(match("dishonesty", default_seed()).preferences == (list{"intellectual honesty"}));
}

CAF_TEST(words of two letters match nothing) {
  CAF_CHECK(match("swimming in a lake", default_seed()).empty());
}

CAF_TEST(a pattern matches by its first three words only) {
  persona_seed seed;
  seed.thinking_patterns = {"alpha beta, gamma delta"};
  CAF_CHECK(match("the beta", seed).patterns == seed.thinking_patterns);
  CAF_CHECK(match("the gamma", seed).patterns == seed.thinking_patterns);
  CAF_CHECK(match("the delta", seed).empty());
}

CAF_TEST(patterns come from all three groups) {
  CAF_CHECK(match("a prototype", default_seed()).patterns ==
            (list{"prototype early, decide late"}));
  CAF_CHECK(match("an assumption; assumptions", default_seed()).patterns ==
            (list{"question assumptions gently"}));
}

CAF_TEST(at most three of each are returned) {
  const auto found = match(
      "intellectual ethical joy composability jargon feature surveillance first composable small "
      "prototype reversible peers tradeoffs",
      default_seed());
  CAF_CHECK(found.preferences ==
            (list{"intellectual honesty", "ethical technology", "joy in creation"}));
  CAF_CHECK_EQUAL(found.patterns.size(), max_references);
}

CAF_TEST(an empty seed matches nothing) {
  CAF_CHECK(match("joy and everything else", persona_seed{}).empty());
}

CAF_TEST(only the reading window of a long message is read) {
  const auto far = std::string(9'000, 'z') + " honesty";
  CAF_CHECK(match(far, default_seed()).empty());
}
