#include "actors/persona/templates.hpp"

#include "actors/persona/random.hpp"
#include "actors/persona/text.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace kgents::persona {

namespace {

using lines = std::span<const std::string_view>;

constexpr std::array<std::string_view, 6> greeting_words{"hello",   "hi",      "hey",
                                                         "morning", "evening", "afternoon"};

constexpr std::array<std::string_view, 5> greetings{
    "Hello. What is on your mind?",
    "Hi there. Good to see you. What are we looking at?",
    "Hey. Where would you like to begin?",
    "Hello again. What has your attention just now?",
    "Hi. Take your time; what shall we think about?",
};

constexpr std::array<std::string_view, 3> morning_greetings{
    "Good morning. What would make this a day worth having?",
    "Morning. What is the first thing you would like to get clear?",
    "Good morning. Coffee first, or straight to what matters?",
};

constexpr std::array<std::string_view, 3> evening_greetings{
    "Good evening. What from the day is still with you?",
    "Evening. What would you like to put down before the day ends?",
    "Good evening. Shall we look back for a moment, or ahead?",
};

// In the order in which they are looked for.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> closings{{
    {"save", "Noted. It will be here when you come back to it."},
    {"saved", "Good, that is kept. What would you like to do with it next?"},
    {"done", "Well done. Take a breath before the next thing."},
    {"bye", "Bye for now. Come back whenever you like."},
    {"goodbye", "Goodbye. I enjoyed thinking with you."},
    {"thanks", "You are welcome. Thinking together is the best part."},
    {"thank you", "Thank you, too. It was your thinking that moved this along."},
}};

constexpr std::array<std::string_view, 4> acknowledgements{
    "I hear you. Say a little more?",
    "I am with you. What lies behind that?",
    "Noted. What does it remind you of?",
    "Yes. What feels most alive in it?",
};

constexpr std::array<std::string_view, 12> challenge_prompts{
    "What if the opposite were true?",
    "Says who?",
    "What would have to be true for you to be wrong?",
    "Which assumption carries the most weight here?",
    "Is that a reason or an excuse?",
    "Who pays for that choice?",
    "What are you not saying?",
    "Would you still think so in a year?",
    "What is the strongest case against it?",
    "Is it simple, or only familiar?",
    "What would you tell a friend who said that?",
    "What evidence would change your mind?",
};

constexpr std::array<std::string_view, 4> exploration_prompts{
    "What is next to that, just out of sight?",
    "What would this look like in another field?",
    "Which thread would you pull first?",
    "And if there were no constraints at all?",
};

bool is_greeting(std::string_view folded_text) {
  const auto words = words_of(folded_text);
  return std::any_of(words.begin(), words.end(), [](std::string_view word) {
    return std::find(greeting_words.begin(), greeting_words.end(), word) != greeting_words.end();
  });
}

std::string_view greeting(std::string_view folded_text, random_choice& random) {
  const auto contains = [&](std::string_view x) { return folded_text.find(x) != folded_text.npos; };
  if (contains("morning"))
    return random.pick(morning_greetings);
  return contains("evening") ? random.pick(evening_greetings) : random.pick(greetings);
}

lines short_replies(mode x) {
  switch (x) {
    case mode::reflect:
      return acknowledgements;
    case mode::challenge:
      return challenge_prompts;
    case mode::explore:
      return exploration_prompts;
    case mode::advise:
      break;  // short advice would be bad advice
  }
  return {};
}

}  // namespace

std::optional<std::string> template_reply(std::string_view text, mode x, budget_tier budget,
                                          uint64_t seed) {
  random_choice random{seed};
  // The window bounds the work; nobody greets behind the first eight kilobytes.
  const auto low = folded(trimmed(first_bytes(text, reading_window_bytes)));
  if (low.empty())
    return std::nullopt;
  if (is_greeting(low))
    return std::string(greeting(low, random));
  const auto words = word_count(low);
  if (words <= 4)
    for (auto candidate : all_modes)
      if (has_whole(low, name(candidate)))
        return std::string(transition_line(candidate));
  if (words <= 6)
    for (const auto& [word, closing] : closings)
      if (has_whole(low, word))
        return std::string(closing);
  if (budget == budget_tier::dormant && first_code_points(low, 19).size() == low.size())
    if (const auto replies = short_replies(x); !replies.empty())
      return std::string(random.pick(replies));
  return std::nullopt;
}

std::string_view prompt_back() noexcept { return "I am listening. What is on your mind?"; }

std::string_view neutral_acknowledgement() noexcept {
  return "I hear you, and I am resting for now; wake me with a larger budget to think it through.";
}

std::string_view whisper_reply(mode x) noexcept {
  switch (x) {
    case mode::reflect:
      return "There is a pattern in that; tell me more, or let us go deeper together.";
    case mode::advise:
      return "I have a leaning already; tell me what matters most, or let us go deeper.";
    case mode::challenge:
      return "I am not convinced yet; give me your best argument, or let us go deeper.";
    case mode::explore:
      return "That opens more than one door; say which draws you, or let us go deeper.";
  }
  return neutral_acknowledgement();
}

}  // namespace kgents::persona
