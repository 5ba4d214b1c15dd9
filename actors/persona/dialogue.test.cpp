#define CAF_SUITE dialogue

#include "actors/persona/dialogue.hpp"

#include "actors/persona/templates.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::persona;

namespace {

constexpr std::string_view question = "How do I bring joy into a prototype of our scheduler?";

struct fixture {
  soul_state soul;
  std::chrono::system_clock::time_point now{std::chrono::hours{1}};

  reply_plan plan(std::string_view message, budget_tier tier,
                  std::optional<mode> requested = std::nullopt) {
    return plan_reply({.message = message, .requested = requested, .budget = tier}, soul);
  }

  dialogue_result turn(std::string_view message, budget_tier tier, std::string answer = "",
                       std::optional<uint32_t> tokens = std::nullopt) {
    return finish(plan(message, tier), soul, std::move(answer), tokens, now);
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(dialogue_tests, fixture)

CAF_TEST(a blank message is prompted back and leaves the soul as it was) {
  for (auto text : {"", " \t\n", "\u00a0\u3000"}) {
    auto reply = plan(text, budget_tier::deep, mode::explore);
    CAF_REQUIRE(reply.ready());
    CAF_CHECK(reply.used == mode::explore);
    const auto result = finish(std::move(reply), soul, "", std::nullopt, now);
    CAF_CHECK_EQUAL(result.response, prompt_back());
    CAF_CHECK(result.tier == budget_tier::dormant);
    CAF_CHECK_EQUAL(result.tokens_used, 0u);
    CAF_CHECK(result.was_template);
  }
  CAF_CHECK(soul.active == mode::reflect);
  CAF_CHECK_EQUAL(soul.interactions_count, 0u);
  CAF_CHECK_EQUAL(soul.tokens_used_session, 0u);
  CAF_CHECK(!soul.last_interaction);
}

CAF_TEST(a requested mode stays active for the next message) {
  CAF_CHECK(plan(question, budget_tier::dialogue, mode::challenge).used == mode::challenge);
  CAF_CHECK(soul.active == mode::challenge);
  CAF_CHECK(plan(question, budget_tier::dialogue).used == mode::challenge);
  CAF_CHECK_EQUAL(enter_mode(soul, mode::advise), transition_line(mode::advise));
  CAF_CHECK(plan(question, budget_tier::dialogue).used == mode::advise);
}

CAF_TEST(a template costs nothing in any tier but is counted as an interaction) {
  for (auto tier : all_budgets) {
    const auto result = turn("hello", tier);
    CAF_CHECK(result.was_template);
    CAF_CHECK_EQUAL(result.tokens_used, 0u);
    CAF_CHECK(result.tier == tier);
    CAF_CHECK(!result.response.empty());
  }
  CAF_CHECK_EQUAL(soul.interactions_count, 4u);
  CAF_CHECK_EQUAL(soul.tokens_used_session, 0u);
  CAF_CHECK(soul.last_interaction == now);
}

CAF_TEST(a dormant soul never asks a model) {
  for (auto x : all_modes)
    for (auto text : {question, std::string_view{"why so"}, std::string_view{"write 300 words"}}) {
      const auto reply = plan(text, budget_tier::dormant, x);
      CAF_REQUIRE(reply.ready());
      CAF_CHECK_EQUAL(reply.ready()->tokens, 0u);
      CAF_CHECK(reply.ready()->was_template);
    }
  CAF_CHECK_EQUAL(turn(question, budget_tier::dormant).response, neutral_acknowledgement());
}

CAF_TEST(a whisper costs fifty and is no template) {
  const auto result = turn(question, budget_tier::whisper);
  CAF_CHECK_EQUAL(result.response, whisper_reply(mode::reflect));
  CAF_CHECK_EQUAL(result.tokens_used, 50u);
  CAF_CHECK(!result.was_template);
  CAF_CHECK(result.referenced_preferences.empty());
  CAF_CHECK_EQUAL(soul.tokens_used_session, 50u);
}

CAF_TEST(dialogue and deep ask the model within their caps and at the temperature of the mode) {
  for (auto x : all_modes) {
    const auto dialogue = plan(question, budget_tier::dialogue, x);
    CAF_REQUIRE(dialogue.question());
    CAF_CHECK_EQUAL(dialogue.question()->temperature, temperature(x));
    CAF_CHECK_EQUAL(dialogue.question()->max_tokens, 4'000u);
    CAF_CHECK(dialogue.question()->used == x);
    CAF_CHECK(!dialogue.question()->deep);
    const auto deep = plan(question, budget_tier::deep, x);
    CAF_REQUIRE(deep.question());
    CAF_CHECK_EQUAL(deep.question()->max_tokens, 8'000u);
    CAF_CHECK(deep.question()->deep);
  }
}

CAF_TEST(an answer that stands alone has at most five hundred tokens) {
  for (auto tier : {budget_tier::dialogue, budget_tier::deep}) {
    const auto reply = plan_reply({.message = question, .budget = tier, .single_turn = true}, soul);
    CAF_REQUIRE(reply.question());
    CAF_CHECK_EQUAL(reply.question()->max_tokens, 500u);
  }
}

CAF_TEST(the result carries the references and what the provider counted) {
  const auto result = turn(question, budget_tier::dialogue, "Play with it.", 77);
  CAF_CHECK_EQUAL(result.response, "Play with it.");
  CAF_CHECK_EQUAL(result.tokens_used, 77u);
  CAF_CHECK(!result.was_template);
  CAF_CHECK(result.referenced_preferences == std::vector<std::string>{"joy in creation"});
  CAF_CHECK(result.referenced_patterns == std::vector<std::string>{"prototype early, decide late"});
  CAF_CHECK_EQUAL(soul.tokens_used_session, 77u);
}

CAF_TEST(an answer nobody counted costs two tokens a word) {
  CAF_CHECK_EQUAL(turn(question, budget_tier::dialogue, "Play with it.").tokens_used, 6u);
  CAF_CHECK_EQUAL(turn(question, budget_tier::dialogue, "").tokens_used, 0u);
  CAF_CHECK_EQUAL(soul.interactions_count, 2u);
}

CAF_TEST(the system prompt keeps its order and never holds text of the user) {
  const auto reply = plan("zebra <script> joy", budget_tier::deep, mode::challenge);
  CAF_REQUIRE(reply.question());
  const auto& text = reply.question()->system;
  size_t last = 0;
  for (auto part : {"You are K", "| aesthetic (minimalist – baroque) | 0.15 | 0.92 |",
                    "| joy (austere – playful) | 0.75 | 0.82 |", "CHALLENGE mode",
                    "Guidelines:", "told as a character"}) {
    const auto at = text.find(part);
    CAF_REQUIRE(at != std::string::npos);
    CAF_CHECK(at >= last);
    last = at;
  }
  CAF_CHECK(text.find("zebra") == std::string::npos);
}

CAF_TEST(dialogue asks for two to four sentences and tells no narrative) {
  const auto text = plan(question, budget_tier::dialogue).question()->system;
  CAF_CHECK(text.find("2–4 sentences") != std::string::npos);
  CAF_CHECK(text.find("told as a character") == std::string::npos);
}

CAF_TEST(the user prompt carries message time and references) {
  const references found{{"joy in creation"}, {"peers decide together", "b"}};
  CAF_CHECK_EQUAL(user_prompt("Why?", mode::advise, found, {.hour = 2, .weekday = 6}),
                  "Why?\n\n[Context: Saturday, late night; preferences: joy in creation; patterns: "
                  "peers decide together, b]");
  CAF_CHECK_EQUAL(user_prompt("Why?", mode::reflect, {}, {.hour = 12, .weekday = 0}),
                  "Why?\n\n[Context: Sunday, afternoon]");
}

CAF_TEST(a challenge is framed as thesis antithesis and synthesis) {
  for (auto x : all_modes) {
    const auto text = user_prompt("Why?", x, {}, {});
    CAF_CHECK_EQUAL(text.find("thesis, antithesis, synthesis") != std::string::npos,
                    x == mode::challenge);
  }
}

CAF_TEST(the day has four parts) {
  constexpr std::string_view parts[] = {"late night", "morning", "afternoon", "evening"};
  for (unsigned hour = 0; hour < 24; ++hour)
    CAF_CHECK_EQUAL(part_of_day(hour), parts[hour / 6]);
  CAF_CHECK_EQUAL(weekday_name(1), "Monday");
}

CAF_TEST(the message can be read back out of a prompt) {
  for (auto message : {"Why?", "a\n\n[Context: mine]", "ends with ]", ""})
    for (auto x : all_modes)
      CAF_CHECK_EQUAL(std::string(message_of(user_prompt(message, x, {}, {}))), message);
  CAF_CHECK_EQUAL(message_of("plain"), "plain");
  CAF_CHECK_EQUAL(message_of("plain [x]"), "plain [x]");
}

CAF_TEST_FIXTURE_SCOPE_END()
