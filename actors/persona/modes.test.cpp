#define CAF_SUITE modes

#include "actors/persona/modes.hpp"

#include "actors/persona/starters.hpp"
#include "actors/persona/text.hpp"

#include <caf/test/dsl.hpp>

#include <set>

using namespace kgents::persona;

CAF_TEST(a mode is parsed in any case and nothing else is a mode) {
  CAF_CHECK(parse_mode("reflect") == mode::reflect);
  CAF_CHECK(parse_mode("ADVISE") == mode::advise);
  CAF_CHECK(parse_mode("Challenge") == mode::challenge);
  CAF_CHECK(parse_mode("eXplore") == mode::explore);
  for (auto text : {"", "reflec", "reflect ", "invalid_mode", "reflects"})
    CAF_CHECK(!parse_mode(text));
  for (auto x : all_modes)
    CAF_CHECK(parse_mode(name(x)) == x);
  CAF_CHECK(default_mode == mode::reflect);
}

CAF_TEST(temperature rises from reflect to explore) {
  CAF_CHECK_EQUAL(temperature(mode::reflect), 0.4);
  CAF_CHECK_EQUAL(temperature(mode::advise), 0.5);
  CAF_CHECK_EQUAL(temperature(mode::challenge), 0.6);
  CAF_CHECK_EQUAL(temperature(mode::explore), 0.8);
}

CAF_TEST(a transition line names its mode in capitals and asks) {
  constexpr std::string_view capitals[] = {"REFLECT", "ADVISE", "CHALLENGE", "EXPLORE"};
  constexpr std::string_view subjects[] = {"pattern", "decision", "thesis", "curiosity"};
  for (auto x : all_modes) {
    const auto line = transition_line(x);
    const auto i = static_cast<size_t>(x);
    CAF_CHECK(line.find(capitals[i]) != line.npos);
    CAF_CHECK(line.find(name(x)) != line.npos);
    CAF_CHECK(line.find(subjects[i]) != line.npos);
    CAF_CHECK(line.ends_with('?'));
  }
}

CAF_TEST(each mode has twelve starters of its own) {
  std::set<std::string_view> all;
  for (auto x : all_modes)
    for (auto starter : starters(x)) {
      CAF_CHECK(starter.ends_with('?'));
      all.insert(starter);
    }
  CAF_CHECK_EQUAL(all.size(), 48u);
}

CAF_TEST(no placeholder survives filling) {
  std::set<std::string_view> used;
  for (auto x : all_modes)
    for (auto starter : starters(x)) {
      for (auto slot :
           {"{current focus}", "{wild idea}", "{unrelated domain}", "{current assumption}"})
        if (starter.find(slot) != starter.npos)
          used.insert(slot);
      CAF_CHECK(filled(starter).find_first_of("{}") == std::string::npos);
    }
  CAF_CHECK_EQUAL(used.size(), 4u);
  CAF_CHECK_EQUAL(filled("Is {current focus} {wild idea}?",
                         {.current_focus = "tea today", .wild_idea = "bold", .hour = 3}),
                  "Is tea today bold?");
}

CAF_TEST(today becomes the time of day) {
  const auto at = [](unsigned hour) { return filled("Why today?", {.hour = hour}); };
  CAF_CHECK_EQUAL(filled("Why today?"), "Why today?");
  CAF_CHECK_EQUAL(at(0), "Why tonight?");
  CAF_CHECK_EQUAL(at(5), "Why tonight?");
  CAF_CHECK_EQUAL(at(6), "Why this morning?");
  CAF_CHECK_EQUAL(at(11), "Why this morning?");
  CAF_CHECK_EQUAL(at(12), "Why today?");
  CAF_CHECK_EQUAL(at(19), "Why today?");
  CAF_CHECK_EQUAL(at(20), "Why this evening?");
}

CAF_TEST(a random starter follows from its seed and reaches all twelve) {
  for (auto x : all_modes) {
    std::set<std::string> seen;
    for (uint64_t seed = 0; seed < 300; ++seed) {
      seen.insert(random_starter(x, seed));
      CAF_CHECK_EQUAL(random_starter(x, seed), random_starter(x, seed));
    }
    CAF_CHECK_EQUAL(seen.size(), starters_per_mode);
  }
}
