#define CAF_SUITE templates

#include "actors/persona/templates.hpp"

#include <caf/test/dsl.hpp>

#include <set>

using namespace kgents::persona;

namespace {

std::optional<std::string> reply(std::string_view text, mode x = mode::reflect,
                                 budget_tier tier = budget_tier::dialogue, uint64_t seed = 1) {
  return template_reply(text, x, tier, seed);
}

size_t variants(std::string_view text, mode x, budget_tier tier = budget_tier::dormant) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 300; ++seed)
    if (auto text_of = template_reply(text, x, tier, seed))
      seen.insert(*text_of);
  return seen.size();
}

}  // namespace

CAF_TEST(any greeting word between white space is greeted) {
  for (auto text : {"hello", "Hi", "  HEY  ", "good morning", "oh evening", "this afternoon then",
                    "hello there, I have a long question about the design of my scheduler"})
    CAF_CHECK(reply(text).has_value());
  for (auto text : {"hello, you", "hiding", "chi", "they", "evenings"})
    CAF_CHECK(!reply(text).has_value());
}

CAF_TEST(morning and evening have greetings of their own) {
  CAF_CHECK(variants("hello", mode::reflect) >= 4);
  CAF_CHECK(variants("morning", mode::reflect) >= 3);
  CAF_CHECK(variants("evening", mode::reflect) >= 3);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto morning = *template_reply("good morning", mode::reflect, budget_tier::deep, seed);
    CAF_CHECK(morning.find("orning") != std::string::npos);
    const auto evening = *template_reply("hi this evening", mode::reflect, budget_tier::deep, seed);
    CAF_CHECK(evening.find("vening") != std::string::npos);
    const auto noon = *template_reply("afternoon", mode::reflect, budget_tier::deep, seed);
    CAF_CHECK(noon.find("orning") == std::string::npos);
  }
}

CAF_TEST(the same seed greets the same way) {
  for (uint64_t seed = 0; seed < 20; ++seed)
    CAF_CHECK(reply("hey", mode::reflect, budget_tier::dialogue, seed) ==
              reply("hey", mode::explore, budget_tier::whisper, seed));
}

CAF_TEST(a short text that names a mode gets its transition line) {
  CAF_CHECK(reply("challenge me") == transition_line(mode::challenge));
  CAF_CHECK(reply("please Explore this, friend") == transition_line(mode::explore));
  CAF_CHECK(reply("advise!") == transition_line(mode::advise));
  CAF_CHECK(reply("explore or reflect") == transition_line(mode::reflect));
}

CAF_TEST(a sentence that merely contains a mode is left to the model) {
  CAF_CHECK(!reply("what a challenge this is").has_value());
  CAF_CHECK(!reply("challenges").has_value());
  CAF_CHECK(!reply("unexplored").has_value());
}

CAF_TEST(each closing word has its own line in the order of the contract) {
  std::set<std::string> lines;
  for (auto text : {"save", "saved", "done", "bye", "goodbye", "thanks", "thank you"}) {
    const auto line = reply(text);
    CAF_REQUIRE(line.has_value());
    lines.insert(*line);
  }
  CAF_CHECK_EQUAL(lines.size(), 7u);
  CAF_CHECK(reply("thanks, I am done now") == reply("done"));
  CAF_CHECK(reply("Thank you!") == reply("thank you"));
  CAF_CHECK(reply("bye, save it") == reply("save"));
}

CAF_TEST(closing words count as whole words in at most six) {
  CAF_CHECK(reply("ok I think we are done").has_value());
  CAF_CHECK(!reply("ok I think that we are done").has_value());
  CAF_CHECK(!reply("abandoned").has_value());
  CAF_CHECK(!reply("savings").has_value());
}

CAF_TEST(only a dormant soul answers short texts by template) {
  for (auto x : {mode::reflect, mode::challenge, mode::explore}) {
    CAF_CHECK(reply("why is that", x, budget_tier::dormant).has_value());
    CAF_CHECK(!reply("why is that", x, budget_tier::whisper).has_value());
    CAF_CHECK(!reply("why is that", x, budget_tier::dialogue).has_value());
    CAF_CHECK(!reply("why is that", x, budget_tier::deep).has_value());
  }
  CAF_CHECK(!reply("why is that", mode::advise, budget_tier::dormant).has_value());
}

CAF_TEST(short means fewer than twenty code points) {
  const auto dormant = [](std::string_view text) {
    return reply(text, mode::reflect, budget_tier::dormant).has_value();
  };
  CAF_CHECK(dormant("1234567890123456789"));
  CAF_CHECK(!dormant("12345678901234567890"));
  CAF_CHECK(dormant("ääääääääääääääääääü"));
  CAF_CHECK(dormant("   1234567890123456789   "));
}

CAF_TEST(short texts have four twelve and four answers) {
  CAF_CHECK_EQUAL(variants("why is that", mode::reflect), 4u);
  CAF_CHECK_EQUAL(variants("why is that", mode::challenge), 12u);
  CAF_CHECK_EQUAL(variants("why is that", mode::explore), 4u);
}

CAF_TEST(a blank text has no template) {
  for (auto tier : all_budgets)
    for (auto text : {"", "  \n", "\u3000"})
      CAF_CHECK(!reply(text, mode::reflect, tier).has_value());
}

CAF_TEST(a whisper is one sentence that invites more) {
  std::set<std::string_view> seen;
  for (auto x : all_modes) {
    const auto text = whisper_reply(x);
    seen.insert(text);
    CAF_CHECK(text.ends_with('.'));
    CAF_CHECK_EQUAL(text.find('.'), text.size() - 1);
    CAF_CHECK(text.find("deeper") != text.npos);
  }
  CAF_CHECK_EQUAL(seen.size(), 4u);
  CAF_CHECK(!neutral_acknowledgement().empty());
  CAF_CHECK(prompt_back().ends_with('?'));
}
