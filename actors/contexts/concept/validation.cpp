#include "actors/contexts/concept/validation.hpp"

#include <algorithm>
#include <array>

#include "actors/contexts/words.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

constexpr std::array<std::string_view, 10> vague{"thing",   "things",  "stuff", "something",
                                                 "somehow", "various", "etc",   "somewhat",
                                                 "nice",    "good"};
constexpr size_t long_definition_words = 60;
constexpr size_t short_definition_words = 4;

bool uses(std::string_view text, std::string_view word) {
  return persona::has_whole(persona::folded(text), word);
}

bool circular(const concept_view& x) {
  const auto own = words::telling(x.name);
  const auto said = words::telling(x.definition, 256);
  // What stands before "is" in "justice is fairness" is the concept's name, not its meaning.
  const auto& text = x.definition;
  const auto is = text.find(" is ");
  const auto meaning =
      is != std::string::npos && is < 80 ? words::telling(text.substr(is), 256) : said;
  return !own.empty() && std::all_of(own.begin(), own.end(), [&](const auto& word) {
    return std::find(meaning.begin(), meaning.end(), word) != meaning.end();
  });
}

std::vector<std::string> vague_words(const concept_view& x) {
  std::vector<std::string> out;
  for (const auto word : vague)
    if (uses(x.definition, word))
      out.emplace_back(word);
  return out;
}

}  // namespace

validation validate(const concept_view& x, std::string_view domain) {
  return {.has_definition = !x.definition.empty(),
          .has_examples = !x.examples.empty(),
          .has_relations = !x.related.empty() || !x.lineage.extends.empty(),
          .domain_specified =
              !domain.empty() || (!x.lineage.handle.empty() && x.lineage.domain != "general")};
}

json::object to_json(const validation& x) {
  return {{"validation", json::object{{"has_definition", x.has_definition},
                                      {"has_examples", x.has_examples},
                                      {"has_relations", x.has_relations},
                                      {"domain_specified", x.domain_specified}}},
          {"valid", x.valid()},
          {"criteria_checked", 4}};
}

std::vector<std::string> criticism(const concept_view& x) {
  std::vector<std::string> out;
  const auto length = persona::word_count(x.definition);
  if (x.definition.empty()) {
    out.push_back("Nobody has said what " + x.name + " means.");
  } else {
    if (circular(x))
      out.push_back("The definition uses " + x.name + " to say what " + x.name + " is.");
    if (length < short_definition_words)
      out.push_back("With " + std::to_string(length) + " words the definition excludes little.");
    if (length > long_definition_words)
      out.push_back("With " + std::to_string(length) +
                    " words the definition may hold more than one concept.");
    if (const auto found = vague_words(x); !found.empty())
      out.push_back("Words such as " + words::listed(found) + " leave open what is meant.");
  }
  if (x.examples.empty())
    out.push_back("There is no example that " + x.name + " could fail to cover.");
  if (x.related.empty())
    out.push_back("It is related to nothing, so nothing follows from it.");
  if (x.lineage.extends.empty())
    out.push_back("It extends nothing: where it comes from is not said.");
  else if (x.lineage.justification.empty())
    out.push_back("Why it extends " + words::listed(x.lineage.extends) + " is not justified.");
  if (out.empty())
    out.push_back(
        "It is defined, exemplified and related; what is left is to find a case on its "
        "border.");
  return out;
}

std::vector<std::string> improvements(const concept_view& x) {
  std::vector<std::string> out;
  const auto checked = validate(x, {});
  if (!checked.has_definition)
    out.push_back("Define it, or refine it with a challenge.");
  else if (circular(x))
    out.push_back("Say what it is without the word " + x.name + ".");
  if (persona::word_count(x.definition) > long_definition_words) {
    const auto parts = words::sentences(x.definition);
    out.push_back("Split the definition: its " + std::to_string(parts.size()) +
                  " sentences may be concepts of their own.");
  }
  for (const auto& word : vague_words(x))
    out.push_back("Replace \"" + word + "\" by what is meant.");
  if (!checked.has_examples)
    out.push_back("Exemplify it, with one example just inside and one just outside.");
  if (x.related.empty())
    out.push_back("Relate it to a concept that it could be mistaken for.");
  if (x.lineage.extends.size() > 1)
    out.push_back("Check whether one of its " + std::to_string(x.lineage.extends.size()) +
                  " parents already implies the others.");
  if (!checked.domain_specified)
    out.push_back("Name the domain it belongs to.");
  if (out.empty())
    out.push_back("Nothing is missing; remove what its definition could do without.");
  return out;
}

std::vector<likeness> classify(const concept_view& x, const std::vector<concept_view>& candidates) {
  const auto text = x.name + " " + x.definition;
  std::vector<likeness> out;
  for (const auto& y : candidates) {
    auto score = words::overlap(text, y.name + " " + y.definition);
    // What it may do tells more about its kind than how it is worded.
    const auto& mine = x.lineage.affordances;
    const auto& its = y.lineage.affordances;
    const auto shared = std::count_if(its.begin(), its.end(), [&](const auto& a) {
      return std::find(mine.begin(), mine.end(), a) != mine.end();
    });
    if (!its.empty())
      score = 0.5 * score + 0.5 * static_cast<double>(shared) / static_cast<double>(its.size());
    const auto& up = x.lineage.extends;
    if (std::find(up.begin(), up.end(), y.handle) != up.end())
      score = std::max(score, 0.9);
    out.push_back({y.handle, std::min(score, 1.0)});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  return out;
}

}  // namespace kgents::actors
