#include "actors/contexts/world/agent_letters.hpp"

namespace kgents::actors {

namespace {

using enum persona::mode;

constexpr agent_letter letters[] = {
    {"a", "Abstraction", "Find the general form of what is given and say what it leaves out.",
     reflect},
    {"b", "Balance", "Weigh costs against benefits and say which way it tips.", advise},
    {"c", "Composition", "Say which parts compose, in which order, and what each hands on.",
     advise},
    {"d", "Data", "Name the data that is needed, its shape and its sources.", advise},
    {"e", "Evolution", "Propose three variations and the test that selects among them.", explore},
    {"f", "Forge", "Turn an intent into a specification with inputs, outputs and limits.", advise},
    {"g", "Grammar", "Find the vocabulary and the rules of the language that is used.", reflect},
    {"h", "Hegel", "Find the contradiction and what keeps both of its sides.", challenge},
    {"i", "Interface", "Describe what a person sees and does, one step at a time.", advise},
    {"j", "Judge", "Decide whether it is ready, and name what decides it.", challenge},
    {"k", "Kent", "Answer as the house's own persona: direct, warm, concise.", reflect},
    {"l", "Librarian", "Catalogue it: title, subjects, what it should stand next to.", reflect},
    {"m", "Memory", "Say what is worth remembering, and the cue that will bring it back.", reflect},
    {"n", "Narrator", "Tell what happened as a short story with a turn.", explore},
    {"o", "Observer", "Say what can be observed, how often, and what would be alarming.", reflect},
    {"p", "Parser", "Take it apart into fields and name what does not parse.", advise},
    {"q", "Questioner", "Ask the five questions whose answers would change the most.", challenge},
    {"r", "Refiner", "Say the same with less.", advise},
    {"s", "State", "Name the states, the transitions between them and the one to begin in.",
     advise},
    {"t", "Tester", "Write the tests that would fail if it were wrong.", challenge},
    {"u", "Understudy", "Explain it to somebody who has to take it over tomorrow.", advise},
    {"v", "Validator", "Check it against its own claims, one by one.", challenge},
    {"w", "Witness", "Describe what is there without judging it.", reflect},
    {"psi", "Psychopomp", "Find the metaphor that makes the problem solvable, and solve it there.",
     explore},
    {"flux", "Flux", "Treat it as a stream: what comes in, what is kept, what goes out.", explore},
};

}  // namespace

std::span<const agent_letter> agent_letters() noexcept { return letters; }

const agent_letter* find_agent_letter(std::string_view letter) noexcept {
  for (const auto& x : letters)
    if (x.letter == letter)
      return &x;
  return nullptr;
}

}  // namespace kgents::actors
