#include "actors/contexts/void/dream.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <set>

#include "actors/contexts/void/limits.hpp"
#include "actors/contexts/words.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors::void_nodes {

namespace json = boost::json;

namespace {

constexpr double surest = 0.95;
constexpr size_t pattern_most_bytes = 400;

/// Frequent in any conversation, beyond what `words::telling` leaves out.
constexpr std::array<std::string_view, 22> small_talk{
    "come",   "find",  "give",   "going",  "good",      "help", "know", "look",
    "make",   "need",  "please", "really", "something", "take", "tell", "thing",
    "things", "think", "want",   "will",   "would",     "your"};

/// Which way along an axis a word leans.
struct lean {
  std::string_view word;
  std::string_view axis;
  double way;
};
constexpr lean leans[] = {
    {"challenge", "heterarchy", 0.5},
    {"explore", "joy", 0.5},
    {"reflect", "gratitude", 0.5},
    {"advise", "generativity", 0.5},
    {"asks", "heterarchy", 0.5},
    {"simple", "aesthetic", -1},
    {"minimal", "aesthetic", -1},
    {"ornament", "aesthetic", 1},
    {"detail", "aesthetic", 0.5},
    {"example", "categorical", -1},
    {"concrete", "categorical", -1},
    {"abstract", "categorical", 1},
    {"theory", "categorical", 1},
    {"category", "categorical", 1},
    {"pattern", "categorical", 0.5},
    {"thank", "gratitude", 1},
    {"thanks", "gratitude", 1},
    {"grateful", "gratitude", 1},
    {"useful", "gratitude", -0.5},
    {"boss", "heterarchy", -1},
    {"manager", "heterarchy", -1},
    {"team", "heterarchy", 0.5},
    {"peer", "heterarchy", 1},
    {"together", "heterarchy", 0.5},
    {"write", "generativity", 0.5},
    {"create", "generativity", 1},
    {"generate", "generativity", 1},
    {"document", "generativity", -1},
    {"documentation", "generativity", -1},
    {"play", "joy", 1},
    {"game", "joy", 1},
    {"funny", "joy", 1},
    {"serious", "joy", -1},
    {"discipline", "joy", -0.5},
};

affinities leaning_of(std::string_view text) {
  affinities out;
  const auto all = words::telling(text, 64);
  for (const auto& x : leans)
    if (std::find(all.begin(), all.end(), x.word) != all.end())
      out[std::string{x.axis}] = std::clamp(out[std::string{x.axis}] + x.way, -1.0, 1.0);
  std::erase_if(out, [](const auto& x) { return x.second == 0; });
  return out;
}

found_pattern pattern(std::string text, double confidence) {
  auto leaning = leaning_of(text);
  return {std::move(text), std::clamp(confidence, 0.0, surest), std::move(leaning)};
}

size_t letters(std::string_view word) {
  return static_cast<size_t>(std::count_if(word.begin(), word.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

/// Words of four letters and more, with the number of messages they are in; those in the most
/// first.
std::vector<std::pair<std::string, size_t>> recurring(
    const std::vector<sql::dream_interaction>& said) {
  std::map<std::string, size_t> in_messages;
  for (const auto& x : said)
    for (auto& word : words::telling(x.text, 256))
      if (letters(word) >= 4 &&
          std::find(small_talk.begin(), small_talk.end(), word) == small_talk.end())
        ++in_messages[std::move(word)];
  const auto enough = std::max<size_t>(2, (said.size() + 4) / 5);
  std::vector<std::pair<std::string, size_t>> out;
  for (const auto& [word, n] : in_messages)
    if (n >= enough)
      out.emplace_back(word, n);
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  out.resize(std::min<size_t>(out.size(), limits::words_most));
  return out;
}

double share(size_t part, size_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

std::string percent(double x) { return std::to_string(std::lround(x * 100)) + " %"; }

/// Seen before, or new; each text once.
struct sighting {
  found_pattern what;
  const sql::garden_pattern* before = nullptr;
};

std::vector<sighting> sightings(const sql::dream_view& view,
                                const std::vector<sql::dream_interaction>& said,
                                std::vector<found_pattern> suggestions) {
  auto all = find_patterns(said);
  std::move(suggestions.begin(), suggestions.end(), std::back_inserter(all));
  std::vector<sighting> out;
  std::set<std::string> texts;
  for (auto& x : all) {
    if (!texts.insert(persona::folded(x.text)).second)
      continue;
    const auto at = std::find_if(view.garden.begin(), view.garden.end(), [&](const auto& y) {
      return persona::same_folded(y.text, x.text);
    });
    out.push_back({std::move(x), at == view.garden.end() ? nullptr : &*at});
  }
  return out;
}

/// Affinity sum × .01 × min(evidence, 5), at most ±.05 an axis and cycle.
affinities confidence_deltas(const std::vector<sighting>& seen) {
  constexpr double step = 0.01;
  constexpr double most = 0.05;
  constexpr uint32_t evidence_most = 5;
  affinities out;
  for (const auto& x : seen) {
    const auto evidence =
        std::min(x.before == nullptr ? 1 : x.before->occurrences + 1, evidence_most);
    for (const auto& [axis, way] : x.what.leaning)
      out[axis] += way * step * evidence;
  }
  for (auto& [axis, change] : out)
    change = std::clamp(change, -most, most);
  std::erase_if(out, [](const auto& x) { return x.second == 0; });
  return out;
}

json::object object_of(const affinities& x) {
  json::object out;
  for (const auto& [axis, change] : x)
    out[axis] = change;
  return out;
}

std::string added_confidence(std::string_view before, const affinities& deltas) {
  json::object out;
  boost::system::error_code bad;
  if (auto parsed = json::parse(before, bad); !bad && parsed.is_object())
    out = std::move(parsed.get_object());
  for (const auto& [axis, change] : deltas) {
    const auto* x = out.if_contains(axis);
    const auto sum = (x != nullptr && x->is_number() ? x->to_number<double>() : 0.0) + change;
    out[axis] = std::clamp(sum, -1.0, 1.0);
  }
  return json::serialize(out);
}

json::object report_of(std::string_view timestamp, size_t processed, size_t discovered,
                       size_t promoted, size_t composted, json::object deltas, json::array insights,
                       bool dry_run) {
  return {{"timestamp", timestamp},
          {"interactions_processed", processed},
          {"patterns_discovered", discovered},
          {"patterns_promoted", promoted},
          {"patterns_composted", composted},
          {"eigenvector_deltas", std::move(deltas)},
          {"insights", std::move(insights)},
          {"was_dry_run", dry_run}};
}

dream too_little(size_t said, std::string_view timestamp, bool dry_run) {
  dream out;
  json::array insights;
  insights.emplace_back(std::to_string(said) + " new interactions; a dream needs " +
                        std::to_string(limits::dream_least) + ".");
  out.report = report_of(timestamp, 0, 0, 0, 0, {}, std::move(insights), dry_run);
  return out;
}

}  // namespace

std::vector<found_pattern> find_patterns(const std::vector<sql::dream_interaction>& said) {
  std::vector<found_pattern> out;
  if (said.empty())
    return out;
  std::map<std::string, size_t> modes;
  size_t questions = 0;
  for (const auto& x : said) {
    ++modes[x.mode];
    questions += x.text.find('?') != std::string::npos ? 1 : 0;
  }
  constexpr double dominant = 0.5;
  constexpr double inquisitive = 0.6;
  for (const auto& [mode, n] : modes)
    if (share(n, said.size()) > dominant)
      out.push_back(pattern("Prefers the " + mode + " mode", share(n, said.size())));
  for (const auto& [word, n] : recurring(said))
    out.push_back(pattern("Returns to " + persona::quotable(word, 60), share(n, said.size())));
  if (share(questions, said.size()) > inquisitive)
    out.push_back(pattern("Asks more than it tells", share(questions, said.size())));
  return out;
}

std::vector<found_pattern> parse_suggestions(std::string_view answer) {
  constexpr std::string_view label = "PATTERN:";
  std::vector<found_pattern> out;
  while (!answer.empty() && out.size() < limits::suggestions_most) {
    const auto end = std::min(answer.find('\n'), answer.size());
    auto line = persona::trimmed(answer.substr(0, end));
    answer.remove_prefix(std::min(end + 1, answer.size()));
    if (!line.starts_with(label) || !line.ends_with(')'))
      continue;
    line.remove_prefix(label.size());
    const auto open = line.rfind('(');
    if (open == line.npos)
      continue;
    const auto number = line.substr(open + 1, line.size() - open - 2);
    double confidence = 0;
    const auto* last = number.data() + number.size();
    const auto read = std::from_chars(number.data(), last, confidence);
    const auto text =
        persona::quotable(persona::first_bytes(line.substr(0, open), pattern_most_bytes), 200);
    if (read.ec != std::errc{} || read.ptr != last || !std::isfinite(confidence) || text.empty())
      continue;
    out.push_back(pattern(text, confidence));
  }
  return out;
}

std::string_view maturity(uint32_t occurrences, std::string_view before) noexcept {
  if (before == "flower")
    return before;
  return occurrences >= 5 ? "tree" : occurrences >= 2 ? "sapling" : "seed";
}

std::string pattern_id(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_md5(), nullptr);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < 6; ++i) {
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

dream dream_of(const sql::dream_view& view, std::vector<found_pattern> suggestions,
               std::string_view timestamp, bool dry_run) {
  if (view.interactions.size() < limits::dream_least)
    return too_little(view.interactions.size(), timestamp, dry_run);
  auto said = view.interactions;
  said.resize(std::min<size_t>(said.size(), limits::dream_most));
  const auto seen = sightings(view, said, std::move(suggestions));
  dream out{.enough = true, .report = {}, .changes = {}};
  auto& changes = out.changes;
  size_t promoted = 0;
  json::array insights;
  for (const auto& x : view.garden)
    if (x.days_unseen > limits::compost_after.count() &&
        std::none_of(seen.begin(), seen.end(), [&](const auto& y) { return y.before == &x; }))
      changes.composted.push_back(x.id);
  auto room = limits::garden_most - std::min<size_t>(limits::garden_most, view.garden.size()) +
              changes.composted.size();
  for (const auto& x : seen) {
    if (x.before != nullptr) {
      const auto occurrences = x.before->occurrences + 1;
      const std::string stage{maturity(occurrences, x.before->lifecycle)};
      if (stage != x.before->lifecycle) {
        ++promoted;
        insights.emplace_back("'" + x.what.text + "' has grown to a " + stage + ".");
      }
      changes.seen_again.push_back(
          {x.before->id, occurrences, stage, std::max(x.before->confidence, x.what.confidence)});
    } else if (room > 0) {
      --room;
      insights.emplace_back("New: " + x.what.text + " (" + percent(x.what.confidence) + ").");
      changes.seeds.push_back(
          {x.what.text, x.what.confidence, json::serialize(object_of(x.what.leaning))});
    }
  }
  if (seen.empty())
    insights.emplace_back("No pattern in " + std::to_string(said.size()) + " interactions.");
  const auto deltas = confidence_deltas(seen);
  changes.last_message = said.back().seq;
  changes.confidence = added_confidence(view.state.confidence, deltas);
  out.report = report_of(timestamp, said.size(), changes.seeds.size(), promoted,
                         changes.composted.size(), object_of(deltas), std::move(insights), dry_run);
  changes.report = json::serialize(out.report);
  return out;
}

}  // namespace kgents::actors::void_nodes
