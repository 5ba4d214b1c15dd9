#define CAF_SUITE token_room

#include "actors/token_room.hpp"

#include "actors/persona/prompts.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::actors;

namespace {

llm::prompt conversation(size_t lines, size_t bytes) {
  llm::prompt out;
  out.system = std::string(400, 's');
  for (size_t i = 0; i < lines; ++i)
    out.messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(bytes, 'x')});
  out.max_tokens = 4'000;
  return out;
}

}  // namespace

CAF_TEST(what costs nothing needs nothing and a model is asked with room for an answer) {
  using enum persona::budget_tier;
  CAF_CHECK_EQUAL(need_of("system", "hello", dormant).most, 0u);
  CAF_CHECK_EQUAL(need_of("system", "hello", whisper).most, 100u);
  const auto x = need_of(std::string(400, 's'), std::string(100, 'm'), dialogue);
  CAF_CHECK(x.most > 4'150 && x.most < 4'250);
  CAF_CHECK_EQUAL(x.least, 500u);
  CAF_CHECK(need_of(std::string(400, 's'), std::string(2'000, 'm'), dialogue).least > 1'100);
}

CAF_TEST(a dialogue with the persona begins with what a dialogue is expected to cost) {
  persona::eigenvectors axes;
  llm::prompt ask;
  ask.system = persona::system_prompt(persona::mode::challenge, persona::budget_tier::dialogue,
                                      axes, *persona::shared_default_seed());
  ask.messages.push_back({"user", "What holds a small team of sailors together? [Context: Monday, "
                                  "late night; prefers plain words, few of them.]"});
  ask.max_tokens = 500;
  CAF_CHECK(need_of(ask).least <= persona::dialogue_estimate(persona::budget_tier::dialogue));
}

CAF_TEST(the conversation goes first and then the answer gets shorter) {
  const auto whole = conversation(5, 1'000);
  const auto tokens = prompt_tokens(whole);
  auto fits = whole;
  fit(fits, tokens + 4'000);
  CAF_CHECK(fits.messages.size() == 5u && fits.max_tokens == 4'000u);
  auto shorter = whole;
  fit(shorter, tokens + 500);
  CAF_CHECK(shorter.messages.size() == 5u && shorter.max_tokens == 500u);
  auto less = whole;
  fit(less, tokens + 499);
  CAF_CHECK_EQUAL(less.messages.size(), 3u);
  CAF_CHECK_EQUAL(less.messages.front().role, "user");
  CAF_CHECK(prompt_tokens(less) + less.max_tokens <= tokens + 499);
  auto last = whole;
  fit(last, 650);
  CAF_CHECK_EQUAL(last.messages.size(), 1u);
  CAF_CHECK_EQUAL(prompt_tokens(last) + last.max_tokens, 650u);
  fit(last, 10);
  CAF_CHECK_EQUAL(last.max_tokens, 1u);
}

CAF_TEST(a refusal says how much and how soon) {
  const auto gone = refused_by_budget({1'000, 960, 20}, {500, 50});
  CAF_CHECK_EQUAL(gone.status, 429);
  CAF_CHECK_EQUAL(gone.detail,
                  "Monthly token quota exceeded. 1000 tokens per month allowed, 980 used.");
  CAF_CHECK_EQUAL(refused_by_budget({1'000, 100, 900}, {500, 50}).retry_after_seconds, 1u);
}
