#include "actors/contexts/concept/concept_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/words.hpp"
#include "actors/persona/random.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors {

namespace {

constexpr size_t definition_bytes = 2'000;

std::string last_name(std::string_view handle) {
  const auto [node, last] = agentese::split_last(handle);
  return words::spoken(last.empty() ? node : last);
}

std::vector<std::string> last_names(const std::vector<std::string>& handles) {
  std::vector<std::string> out;
  for (const auto& x : handles)
    out.push_back(last_name(x));
  return out;
}

std::string meaning(const concept_view& x) {
  if (!x.definition.empty())
    return x.definition;
  if (!x.lineage.extends.empty())
    return x.name + " is " + words::with_article(last_name(x.lineage.extends.front()));
  return x.name + " is what is called " + x.name;
}

/// Words of a that b does not have.
std::vector<std::string> beyond(std::string_view a, std::string_view b) {
  const auto known = words::telling(b, 256);
  auto out = words::telling(a);
  std::erase_if(
      out, [&](const auto& x) { return std::find(known.begin(), known.end(), x) != known.end(); });
  return out;
}

std::vector<std::string> in_both(std::string_view a, std::string_view b) {
  const auto known = words::telling(b, 256);
  auto out = words::telling(a);
  std::erase_if(
      out, [&](const auto& x) { return std::find(known.begin(), known.end(), x) == known.end(); });
  return out;
}

std::string lower_first(std::string_view text) {
  std::string out{text};
  if (out.size() > 1 && out[0] >= 'A' && out[0] <= 'Z' && (out[1] < 'A' || out[1] > 'Z'))
    out[0] = static_cast<char>(out[0] + 32);
  return out;
}

std::string without_stop(std::string text) {
  while (!text.empty() && (text.back() == '.' || text.back() == '!' || text.back() == '?'))
    text.pop_back();
  return text;
}

}  // namespace

concept_view view_of(const stored_node& node) {
  concept_view out;
  out.handle = node.path;
  out.name = last_name(node.path);
  out.definition = words::shortened(text_in(node.state, "definition"), definition_bytes);
  for (const auto& x : list_in(node.state, "examples"))
    if (x.is_string())
      out.examples.emplace_back(x.get_string());
  out.related = related_to(node);
  if (const auto* x = node.definition.if_contains("lineage"))
    out.lineage = lineage_from(*x);
  return out;
}

std::string brief(const concept_view& x) {
  std::string out = "Concept: " + x.name + " (" + x.handle + ")\n";
  if (!x.definition.empty())
    out += "Definition: " + x.definition + "\n";
  if (!x.lineage.extends.empty())
    out += "Extends: " + words::listed(x.lineage.extends) + "\nDomain: " + x.lineage.domain + "\n";
  if (!x.related.empty())
    out += "Related: " + words::listed(x.related, 20) + "\n";
  for (const auto& y : x.examples)
    out += "Example: " + words::shortened(y, 300) + "\n";
  return words::shortened(out, 8 * 1024);
}

namespace concept_text {

std::string refined(const concept_view& x, std::string_view challenge) {
  auto base = without_stop(words::shortened(meaning(x), definition_bytes / 2));
  const auto fresh = beyond(challenge, base);
  const auto asked = words::shortened(without_stop(std::string{persona::trimmed(challenge)}), 300);
  std::string out = words::sentence(base);
  if (fresh.empty())
    return out + " It holds against the challenge “" + asked + "”, which says nothing new of it.";
  out += " It also accounts for " + words::listed(fresh, 5);
  const auto common = in_both(challenge, base);
  if (!common.empty())
    out +=
        ", where " + words::listed(common, 3) + (common.size() == 1 ? " is" : " are") + " at stake";
  return out + " (“" + asked + "”).";
}

std::string essence(const concept_view& x) {
  auto told = beyond(meaning(x), x.name);
  if (told.empty())
    return x.name;
  told.resize(std::min<size_t>(told.size(), 4));
  return words::listed(told);
}

std::string negated(std::string_view sentence) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 16> turns{{
      {" is not ", " is "},
      {" are not ", " are "},
      {" cannot ", " can "},
      {" does not ", " does "},
      {" must not ", " may "},
      {" never ", " always "},
      {" always ", " never "},
      {" is ", " is not "},
      {" are ", " are not "},
      {" can ", " cannot "},
      {" must ", " need not "},
      {" has ", " lacks "},
      {" requires ", " can do without "},
      {" means ", " does not mean "},
      {" does ", " does not "},
      {" will ", " will not "},
  }};
  for (const auto& [from, to] : turns)
    if (const auto at = sentence.find(from); at != std::string_view::npos)
      return words::sentence(std::string{sentence.substr(0, at)} + std::string{to} +
                             std::string{sentence.substr(at + from.size())});
  return words::sentence("it is not so that " + lower_first(persona::trimmed(sentence)));
}

triad dialectic(const concept_view& x, std::string_view thesis) {
  triad out;
  auto first = std::string{persona::trimmed(thesis)};
  if (first.empty()) {
    const auto all = words::sentences(meaning(x), 1);
    first = all.empty() ? meaning(x) : all.front();
  }
  out.thesis = words::sentence(words::shortened(first, 600));
  out.antithesis = negated(out.thesis);
  auto ground = in_both(out.thesis, meaning(x) + " " + words::listed(last_names(x.related)));
  if (ground.empty())
    ground = words::telling(out.thesis, 3);
  if (ground.size() > 3)
    ground.resize(3);
  out.synthesis = words::sentence(
      "both can be held of " + x.name + " when " +
      (ground.empty() ? "what is meant" : words::listed(ground)) +
      " is taken as a question of degree and of what it is asked for: the thesis says what " +
      x.name + " does where it applies, the antithesis where it ends");
  return out;
}

std::string synthesis(const concept_view& x, const concept_view& other) {
  const auto a = meaning(x);
  const auto b = meaning(other);
  const auto common = in_both(a, b);
  auto mine = beyond(a, b + " " + x.name);
  auto its = beyond(b, a + " " + other.name);
  mine.resize(std::min<size_t>(mine.size(), 4));
  its.resize(std::min<size_t>(its.size(), 4));
  std::string out = common.empty()
                        ? "No word joins " + x.name + " and " + other.name + " yet"
                        : words::listed(common, 4) + " join" + (common.size() == 1 ? "s " : " ") +
                              x.name + " and " + other.name;
  out += ": taken together they are " + x.name +
         (its.empty() ? "" : " that answers for " + words::listed(its)) +
         (mine.empty() ? "" : ", and " + other.name + " that answers for " + words::listed(mine));
  return words::sentence(out);
}

std::vector<std::string> hypotheses(const concept_view& x) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& text) {
    if (out.size() < 3)
      out.push_back(words::sentence(text));
  };
  for (const auto& y : last_names(x.related))
    if (out.size() < 2)
      add("wherever there is " + x.name + ", there is " + y + " to some degree");
  for (const auto& y : last_names(x.lineage.extends))
    if (out.size() < 2)
      add("whatever is true of every " + y + " is true of " + x.name);
  const auto told = beyond(x.definition, x.name);
  for (size_t i = 0; i + 1 < told.size(); i += 2)
    add("without " + told[i] + " there is no " + told[i + 1] + " in " + x.name);
  add("two people who know only its name agree on cases of " + x.name + " more often than chance");
  add("a case of " + x.name + " can be made that its definition does not cover");
  add("what counts as " + x.name + " depends on who asks");
  return out;
}

std::vector<std::string> parts(const concept_view& x) {
  std::vector<std::string> out;
  for (const auto& y : words::sentences(x.definition, 8))
    out.push_back(y);
  for (const auto& y : beyond(x.definition, x.name)) {
    if (out.size() >= 20)
      break;
    out.push_back(y);
  }
  for (const auto& y : last_names(x.lineage.extends))
    out.push_back("what makes it " + words::with_article(y));
  if (out.empty())
    out = {"the name " + x.name, "what it is said of", "what it is told apart from"};
  return out;
}

std::string interpretation(const concept_view& x, std::string_view lens) {
  const auto seen = lens.empty() ? std::string{"itself"} : std::string{lens};
  const auto common = in_both(meaning(x), lens);
  std::string out = "Seen through " + seen + ", " + x.name + " is read as " + essence(x) + ".";
  if (!common.empty())
    out += " What it shares with the lens, " + words::listed(common) + ", comes forward.";
  const auto fresh = beyond(lens, meaning(x));
  if (!fresh.empty())
    out += " What the lens adds is " + words::listed(fresh, 4) + ".";
  if (!x.related.empty())
    out += " In the background: " + words::listed(last_names(x.related), 3) + ".";
  return out;
}

std::string expression(const concept_view& x, std::string_view medium) {
  const auto told = beyond(meaning(x), x.name);
  std::string out = x.name + (medium.empty() ? "" : ", in " + std::string{medium}) + ":\n";
  for (size_t i = 0; i < std::min<size_t>(told.size(), 6); i += 2)
    out += told[i] + (i + 1 < told.size() ? ", then " + told[i + 1] : std::string{}) + "\n";
  return out + "and " + x.name + " again, changed.";
}

std::string inspiration(const concept_view& x) {
  const auto told = beyond(meaning(x), x.name);
  const auto pick = persona::hash_of(x.handle + std::to_string(x.related.size()));
  const auto spark = told.empty() ? x.name : told[pick % told.size()];
  std::string out = "Begin with " + spark + " and leave " + x.name + " unsaid.";
  if (!x.related.empty())
    out += " Let " + last_name(x.related[pick % x.related.size()]) + " interrupt.";
  return out + " Stop where it would have to be explained.";
}

std::string explanation(const concept_view& x, std::string_view level) {
  const auto all = words::sentences(meaning(x), 32);
  if (level == "basic")
    return simplified(x);
  std::string out = words::sentence(all.empty() ? meaning(x) : all.front());
  for (size_t i = 1; i < all.size(); ++i)
    out += " " + words::sentence(all[i]);
  if (!x.lineage.extends.empty())
    out += " It is a kind of " + words::listed(last_names(x.lineage.extends)) + ".";
  if (!x.examples.empty())
    out += " For example: " + words::sentence(x.examples.back());
  if (level != "advanced")
    return out;
  if (!x.related.empty())
    out += " It is to be seen with " + words::listed(last_names(x.related)) + ".";
  if (!x.lineage.constraints.empty())
    out += " It must satisfy " + words::listed(x.lineage.constraints) + ".";
  return out + " Open: " + lower_first(hypotheses(x).front());
}

std::string simplified(const concept_view& x) {
  const auto all = words::sentences(meaning(x), 1);
  auto first = without_stop(all.empty() ? meaning(x) : all.front());
  // What stands behind a comma or in brackets qualifies; the simple form does without.
  for (const std::string_view cut : {" (", ";", ", "})
    if (const auto at = first.find(cut); at != std::string::npos && at > 20)
      first.resize(at);
  return words::sentence(first);
}

std::string example(const concept_view& x, size_t turn) {
  const auto told = beyond(meaning(x), x.name);
  const auto related = last_names(x.related);
  std::string out = "A case of " + x.name;
  if (told.size() > 1)
    out +=
        ": something with " + told[turn % told.size()] + " and " + told[(turn + 1) % told.size()];
  if (!related.empty())
    out += ", met together with " + related[turn % related.size()];
  return words::sentence(out + ", that nobody would call anything else");
}

std::string assessment(const concept_view& x, std::string_view answer) {
  const auto wanted = beyond(meaning(x), x.name);
  if (!persona::trimmed(answer).empty()) {
    const auto found = in_both(meaning(x), answer);
    auto missing = beyond(meaning(x), std::string{answer} + " " + x.name);
    missing.resize(std::min<size_t>(missing.size(), 5));
    const auto share =
        wanted.empty() ? 1.0
                       : 1.0 - static_cast<double>(
                                   beyond(meaning(x), std::string{answer} + " " + x.name).size()) /
                                   static_cast<double>(wanted.size());
    std::string out = "The answer covers " + std::to_string(std::lround(100 * share)) +
                      " % of what the definition names.";
    if (!missing.empty())
      out += " Not mentioned: " + words::listed(missing) + ".";
    return out;
  }
  std::string out = "1. Say in your own words what " + x.name + " is.";
  out += " 2. Give a case that looks like " + x.name + " and is not.";
  if (!x.related.empty())
    out += " 3. How does it differ from " + last_name(x.related.front()) + "?";
  else if (!wanted.empty())
    out += " 3. Why does it need " + wanted.front() + "?";
  return out;
}

}  // namespace concept_text
}  // namespace kgents::actors
