#define CAF_SUITE words

#include "actors/contexts/words.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace {

struct fixture {};

using texts = std::vector<std::string>;

}  // namespace

CAF_TEST_FIXTURE_SCOPE(words_tests, fixture)

CAF_TEST(telling words leave out what any text has and come once) {
  CAF_CHECK_EQUAL(words::telling("The house, the HOUSE and its garden!"),
                  (texts{"house", "garden"}));
  CAF_CHECK_EQUAL(words::telling("a b c of"), texts{});
  CAF_CHECK_EQUAL(words::telling("one two three four", 2), (texts{"one", "two"}));
  CAF_CHECK_EQUAL(words::telling("Straße für alle"), (texts{"straße", "für", "alle"}));
}

CAF_TEST(sentences end where a space follows) {
  CAF_CHECK_EQUAL(words::sentences("It costs 3.50 today. Why? So"),
                  (texts{"It costs 3.50 today.", "Why?", "So"}));
  CAF_CHECK_EQUAL(words::sentences("  \n . "), texts{"."});
  CAF_CHECK_EQUAL(words::sentences("a. b. c.", 2), (texts{"a.", "b."}));
}

CAF_TEST(likeness is one for the same and nothing for strangers) {
  CAF_CHECK_EQUAL(words::alike("house", "house"), 1.0);
  CAF_CHECK_EQUAL(words::alike("house", "tree"), 0.0);
  CAF_CHECK(words::alike("create", "creation") > words::alike("create", "crab"));
  CAF_CHECK_EQUAL(words::overlap("red house", "House of red"), 1.0);
  CAF_CHECK_EQUAL(words::overlap("red house", ""), 0.0);
}

CAF_TEST(lists are read aloud) {
  CAF_CHECK_EQUAL(words::listed(texts{}), "");
  CAF_CHECK_EQUAL(words::listed(texts{"a"}), "a");
  CAF_CHECK_EQUAL(words::listed(texts{"a", "b", "c"}), "a, b and c");
  CAF_CHECK_EQUAL(words::listed(texts{"a", "b", "c"}, 2), "a and b");
  CAF_CHECK_EQUAL(words::with_article("entity"), "an entity");
  CAF_CHECK_EQUAL(words::spoken("living_room"), "living room");
}

CAF_TEST(what is cut is cut between code points) {
  CAF_CHECK_EQUAL(words::shortened("äöü", 3), "ä…");
  CAF_CHECK_EQUAL(words::shortened("short", 5), "short");
  CAF_CHECK_EQUAL(words::sentence("it is"), "It is.");
  CAF_CHECK_EQUAL(words::sentence("Is it?"), "Is it?");
}

CAF_TEST_FIXTURE_SCOPE_END()
