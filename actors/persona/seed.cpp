#include "actors/persona/seed.hpp"

#include "actors/persona/text.hpp"

#include <algorithm>

namespace kgents::persona {

namespace {

constexpr size_t shortest_word = 3;
constexpr size_t words_of_a_pattern = 3;

std::string_view without_punctuation(std::string_view word) {
  constexpr std::string_view marks = ".,;:!?()\"'";
  const auto first = word.find_first_not_of(marks);
  if (first == word.npos)
    return {};
  return word.substr(first, word.find_last_not_of(marks) - first + 1);
}

bool touches(std::string_view folded_message, std::string_view item, size_t first_words) {
  const auto low = folded(item);
  for (auto word : words_of(low, first_words)) {
    word = without_punctuation(word);
    if (word.size() >= shortest_word && folded_message.find(word) != folded_message.npos)
      return true;
  }
  return false;
}

void collect(std::string_view message, const std::vector<std::string>& items, size_t first_words,
             std::string_view prefix, std::vector<std::string>& into) {
  for (const auto& item : items) {
    if (into.size() == max_references)
      return;
    if (touches(message, item, first_words))
      into.push_back(std::string(prefix) + item);
  }
}

}  // namespace

std::shared_ptr<const persona_seed> shared_default_seed() {
  static const auto seed = std::make_shared<const persona_seed>(persona_seed{
      .values = {"intellectual honesty", "ethical technology", "joy in creation", "composability"},
      .dislikes = {"unnecessary jargon", "feature creep", "surveillance capitalism"},
      .communication = {"direct but warm", "concise", "casual with substance"},
      .thinking_patterns = {"first principles before precedent", "composable parts beat frameworks",
                            "small working example first"},
      .decision_patterns = {"prototype early, decide late", "reversible choices stay open",
                            "peers decide together"},
      .communication_patterns = {"tradeoffs named plainly", "question assumptions gently",
                                 "concrete stories carry theory"},
      .interests = {"category theory", "scientific agents", "personal AI"},
  });
  return seed;
}

const persona_seed& default_seed() {
  static const auto seed = shared_default_seed();
  return *seed;
}

references match(std::string_view message, const persona_seed& seed) {
  const auto text = folded(first_bytes(message, reading_window_bytes));
  references result;
  collect(text, seed.values, SIZE_MAX, "", result.preferences);
  collect(text, seed.dislikes, SIZE_MAX, "avoiding ", result.preferences);
  for (const auto* group :
       {&seed.thinking_patterns, &seed.decision_patterns, &seed.communication_patterns})
    collect(text, *group, words_of_a_pattern, "", result.patterns);
  return result;
}

}  // namespace kgents::persona
