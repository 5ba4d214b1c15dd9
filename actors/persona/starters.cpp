#include "actors/persona/starters.hpp"

#include "actors/persona/random.hpp"

#include <utility>

namespace kgents::persona {

namespace {

using twelve = std::array<std::string_view, starters_per_mode>;

constexpr twelve reflect_starters{
    "What has been taking up most of your attention today?",
    "When you look at {current focus}, which pattern keeps coming back?",
    "What did you say yes to lately that you wish you had thought over?",
    "Where in {current focus} do you feel most like yourself?",
    "Which conversation are you still having in your head?",
    "What do you know now about {current focus} that you did not know a month ago?",
    "Which of your habits served you well today, and which did not?",
    "What are you avoiding, and what does the avoiding protect?",
    "If {current assumption} turned out to be a choice, would you choose it again?",
    "What gave you energy today, and what quietly took it?",
    "Which small success have you not let yourself enjoy yet?",
    "What would you like to remember about today?",
};

constexpr twelve advise_starters{
    "Which decision about {current focus} is waiting for you today?",
    "What are the two options you keep going back and forth between?",
    "What would a good outcome for {current focus} look like in three months?",
    "Which part of {current focus} could you make smaller without losing its point?",
    "What is the cheapest way to learn whether {current assumption} holds?",
    "Who is affected by your next step and has not been asked yet?",
    "What would you do today if you could only do one thing?",
    "Which choice in front of you is easy to undo, and which is not?",
    "What advice have you been given about {current focus} that you did not take?",
    "Where are you waiting for certainty that will not come?",
    "What are you carrying that somebody else would gladly take over?",
    "How would you explain {current focus} to a friend who can help?",
};

constexpr twelve challenge_starters{
    "What do you believe about {current focus} that few others do?",
    "What if {current assumption} is simply wrong?",
    "Which argument against {current focus} do you least like to hear?",
    "What would have to happen for you to give up {current focus} today?",
    "Who has thought carefully about this and come to the opposite view?",
    "Which part of your plan would you attack if it were somebody else's?",
    "What are you calling a principle that may only be a habit?",
    "If you had to argue against {wild idea} for an hour, where would you begin?",
    "What evidence would change your mind, and have you looked for it?",
    "Where is your simplest explanation leaving something out?",
    "Which cost of {current focus} are other people paying?",
    "What would you defend today even if it cost you something?",
};

constexpr twelve explore_starters{
    "Where does your curiosity lead you today?",
    "What would {current focus} look like if you had learned it from {unrelated domain}?",
    "Suppose {wild idea} worked. What would happen next?",
    "What is the most interesting question nobody has asked about {current focus}?",
    "What if {current assumption} were true only on Tuesdays?",
    "Which two things on your desk have never been combined?",
    "What would a child find strange about {current focus}?",
    "If {current focus} were a place, what would be just beyond its edge?",
    "What did you love at ten that {unrelated domain} still reminds you of?",
    "Which tool would you build today if nobody ever had to use it?",
    "What would {wild idea} cost if you tried only its smallest piece?",
    "What is the opposite of {current focus}, and is it any good?",
};

constexpr std::array<const twelve*, 4> by_mode{&reflect_starters, &advise_starters,
                                               &challenge_starters, &explore_starters};

std::string_view today_at(const std::optional<unsigned>& hour) noexcept {
  if (!hour)
    return "today";
  return *hour < 6     ? "tonight"
         : *hour < 12  ? "this morning"
         : *hour >= 20 ? "this evening"
                       : "today";
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

}  // namespace

const std::array<std::string_view, starters_per_mode>& starters(mode x) noexcept {
  return *by_mode[static_cast<size_t>(x)];
}

std::string filled(std::string_view starter, const starter_context& context) {
  std::string result(starter);
  // "today" first: what the context brings along is the user's own text and stays as it is.
  replace_all(result, "today", today_at(context.hour));
  const std::pair<std::string_view, std::string_view> fills[] = {
      {"{current focus}", context.current_focus},
      {"{wild idea}", context.wild_idea},
      {"{unrelated domain}", context.unrelated_domain},
      {"{current assumption}", context.current_assumption},
  };
  for (const auto& [placeholder, text] : fills)
    replace_all(result, placeholder, text);
  return result;
}

std::string random_starter(mode x, uint64_t seed, const starter_context& context) {
  random_choice random{seed};
  return filled(random.pick(starters(x)), context);
}

}  // namespace kgents::persona
