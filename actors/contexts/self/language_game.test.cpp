#define CAF_SUITE language_game

#include "actors/contexts/self/language_game.hpp"

#include <algorithm>
#include <caf/test/dsl.hpp>

using namespace kgents::actors::self_memory;

CAF_TEST(a move leads somewhere or is against the rules) {
  CAF_CHECK(moved("recall", "idle", "cue") == "cued");
  CAF_CHECK(!moved("recall", "idle", "find"));
  CAF_CHECK(!moved("recall", "nowhere", "cue"));
  CAF_CHECK(!moved("chess", "idle", "cue"));
}

CAF_TEST(every position of a game can be reached and left or is its end) {
  for (const auto game : games()) {
    const auto all = positions_of(game);
    CAF_CHECK(all.size() >= 3);
    size_t ends = 0;
    for (const auto x : all)
      ends += directions_at(game, x).empty() ? 1 : 0;
    CAF_CHECK(ends <= 1);
  }
  CAF_CHECK(positions_of("chess").empty());
  const auto at_open = directions_at("dialogue", "open");
  CAF_CHECK_EQUAL(at_open.size(), 2u);
}
