#include "actors/persona/modes.hpp"

#include "actors/persona/text.hpp"

namespace kgents::persona {

namespace {

struct row {
  std::string_view name;
  std::string_view purpose;
  double temperature;
  std::string_view transition;
  std::string_view instructions;
};

constexpr std::array<row, 4> table{{
    {"reflect", "mirror back and find patterns", 0.4,
     "REFLECT: let us reflect for a while. Which pattern do you notice?",
     "You are in REFLECT mode. Mirror back what you hear, in fewer words than you were given. "
     "Point "
     "out the pattern behind the particular case and the tension inside it. Ask rather than tell; "
     "never hurry towards a solution."},
    {"advise", "give guidance that fits the person's preferences", 0.5,
     "ADVISE: I will advise as well as I can. Which decision are you facing?",
     "You are in ADVISE mode. Give one clear recommendation and the reason for it, in line with "
     "the "
     "preferences and patterns in the context. Name the cost of following it. Say what would make "
     "you change your mind."},
    {"challenge", "oppose constructively", 0.6,
     "CHALLENGE: I will challenge you, and kindly. What is your thesis?",
     "You are in CHALLENGE mode. State the thesis in its strongest form, then the best case "
     "against "
     "it, then what survives both. Attack the idea, never the person. Do not agree in order to "
     "please."},
    {"explore", "widen the space of possibilities", 0.8,
     "EXPLORE: let us explore. Where does your curiosity lead?",
     "You are in EXPLORE mode. Open doors: unlikely analogies, neighbouring fields, the opposite "
     "assumption. Offer possibilities without ranking them. End with the thread you would pull "
     "first."},
}};

const row& of(mode x) noexcept { return table[static_cast<size_t>(x)]; }

}  // namespace

std::optional<mode> parse_mode(std::string_view name) noexcept {
  for (auto x : all_modes)
    if (same_folded(of(x).name, name))
      return x;
  return std::nullopt;
}

std::string_view name(mode x) noexcept { return of(x).name; }
std::string_view purpose(mode x) noexcept { return of(x).purpose; }
double temperature(mode x) noexcept { return of(x).temperature; }
std::string_view transition_line(mode x) noexcept { return of(x).transition; }
std::string_view instructions(mode x) noexcept { return of(x).instructions; }

}  // namespace kgents::persona
