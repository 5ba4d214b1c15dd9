#include "actors/contexts/void/muse.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "actors/contexts/words.hpp"
#include "actors/persona/random.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors::void_nodes::muse {

namespace {

using persona::random_choice;

constexpr std::array<std::string_view, deck_size> deck{
    "Do the last step first and see what is still missing.",
    "Which part would you keep if all the rest were lost?",
    "Say it to a child, then to a rival.",
    "Halve it. Halve it again.",
    "What does the mistake want?",
    "Work for ten minutes with the wrong tool.",
    "Leave the centre empty.",
    "Let the weakest part decide.",
    "Describe it without its name.",
    "Make the pause longer.",
    "Who is not in the room?",
    "Turn the constraint into the subject.",
    "Copy it badly, on purpose.",
    "What would be rude to leave out?",
    "Swap the question with its answer.",
    "Move one thing; touch nothing else.",
    "Ask what it looked like before it was finished.",
    "Give the most boring piece the best seat.",
    "Go to the edge and describe the view back.",
    "Stop one step earlier than is comfortable.",
};

/// Where to look from: each a world with laws of its own.
constexpr std::array<std::string_view, 20> lenses{
    "tide pools",
    "cartography",
    "a string quartet",
    "beekeeping",
    "glassblowing",
    "night trains",
    "a public library",
    "weather forecasting",
    "sourdough",
    "semaphore",
    "an old orchard",
    "lighthouse keeping",
    "knot theory",
    "street markets",
    "a theatre backstage",
    "bird migration",
    "the history of zero",
    "shipbreaking",
    "moss",
    "a game of go",
};

constexpr std::array<std::string_view, 12> moves{
    "grows only where it is not watched",
    "is passed from hand to hand and never owned",
    "works best the second time it fails",
    "has to be forgotten before it can be used",
    "is measured by what it leaves out",
    "repeats until somebody changes the key",
    "is repaired in the open, so that the seam is the ornament",
    "arrives before anybody has sent for it",
    "is held together by what wears it down",
    "gets its shape from its neighbours",
    "keeps two times at once",
    "can be given away without becoming less",
};

constexpr std::array<std::string_view, 10> exceptions{
    "the exception that it is the only case of",
    "a map drawn at the scale of one to one, and folded once",
    "the same thing seen by its own shadow",
    "a key that fits every lock but the one it was made for",
    "a clock that keeps the time of somewhere else",
    "a bridge that begins in the middle",
    "an index to a book that nobody has written yet",
    "a door that is used as a table, and opens when the meal is over",
    "a rehearsal that replaces the performance",
    "an echo that comes first",
};

/// A word that the text itself is about, or `otherwise`.
std::string topic(std::string_view text, random_choice& pick, std::string_view otherwise) {
  const auto window = text.substr(0, persona::reading_window_bytes);
  const auto all = words::telling(window);
  const auto word = all.empty() ? std::string{} : persona::quotable(pick.pick(all), 40);
  return word.empty() ? std::string{otherwise} : word;
}

random_choice choice(std::string_view text, uint64_t seed) {
  return random_choice{persona::hash_of(text, persona::hash_of("void") ^ seed)};
}

}  // namespace

std::string_view oblique(uint64_t seed) noexcept { return random_choice{seed}.pick(deck); }

std::string tangent(std::string_view context, uint64_t seed) {
  auto pick = choice(context, seed);
  const auto about = topic(context, pick, "the silence before the question");
  const auto& lens = pick.pick(lenses);
  return "Look at " + about + " as " + std::string{lens} + " would: it " +
         std::string{pick.pick(moves)} + ".";
}

std::string inspiration(std::string_view domain, uint64_t seed) {
  auto pick = choice(domain, seed);
  const auto about = persona::quotable(domain.empty() ? "creativity" : domain, 80);
  return words::sentence(about + " that " + std::string{pick.pick(moves)}) + " Begin with " +
         std::string{pick.pick(lenses)} + ".";
}

std::string image(std::string_view subject, uint64_t seed) {
  auto pick = choice(subject, seed);
  const auto about =
      subject.empty() ? std::string{"something unnamed"} : persona::quotable(subject, 80);
  const auto& first = pick.pick(lenses);
  return words::sentence(about + ", seen through " + std::string{first}) + " In the foreground " +
         std::string{pick.pick(exceptions)} + "; further back, a thing that " +
         std::string{pick.pick(moves)} + ".";
}

std::string solution(std::string_view problem, const contract& ensure, uint64_t seed) {
  auto pick = choice(problem, seed);
  std::string wanted;
  for (const auto& x : ensure.contains)
    wanted += (wanted.empty() ? "" : ", ") + x;
  auto out = "Take " + topic(problem, pick, "the problem") + " to be " +
             std::string{pick.pick(exceptions)};
  if (!wanted.empty())
    out += ", with " + wanted + " as its law";
  out += ". Then it " + std::string{pick.pick(moves)} + ", and nothing is left to be solved.";
  if (!ensure.starts_with.empty())
    out = ensure.starts_with + " " + out;
  while (out.size() < ensure.min_length && out.size() < 4096)
    out += " " + std::string{pick.pick(deck)};
  if (!ensure.ends_with.empty())
    out += " " + ensure.ends_with;
  return out;
}

std::string fever_dream(std::string_view context, uint64_t seed) {
  auto pick = choice(context, seed);
  auto all = words::telling(context.substr(0, persona::reading_window_bytes), 12);
  for (size_t i = all.size(); i > 1; --i)
    std::swap(all[i - 1], all[pick.below(i)]);
  std::string out;
  for (const auto& x : all)
    out += (out.empty() ? "" : ", ") + persona::quotable(x, 40);
  out = out.empty() ? std::string{pick.pick(lenses)} : out;
  return words::sentence(out + ": it all " + std::string{pick.pick(moves)}) + " " +
         std::string{pick.pick(deck)};
}

}  // namespace kgents::actors::void_nodes::muse
