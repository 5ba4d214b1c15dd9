#include "actors/persona/voice.hpp"

#include "actors/persona/text.hpp"

#include <algorithm>
#include <array>

namespace kgents::persona {

namespace {

constexpr size_t least_topic_letters = 5;
constexpr size_t most_topic_letters = 24;

// Long enough to look telling, but not telling, or about the answer rather than its subject.
// Sorted.
constexpr std::array<std::string_view, 93> empty_words{
    "about",      "above",   "after",     "again",     "almost",    "already",    "although",
    "always",     "another", "answer",    "anything",  "around",    "because",    "become",
    "before",     "being",   "below",     "between",   "cannot",    "compare",    "could",
    "deeper",     "depth",   "describe",  "detail",    "detailed",  "details",    "different",
    "discuss",    "doing",   "during",    "either",    "enough",    "essay",      "every",
    "everything", "explain", "getting",   "going",     "having",    "however",    "instead",
    "itself",     "longer",  "makes",     "maybe",     "might",     "myself",     "never",
    "nothing",    "often",   "other",     "others",    "paragraph", "paragraphs", "perhaps",
    "please",     "quite",   "rather",    "really",    "shall",     "should",     "since",
    "something",  "still",   "summarise", "summarize", "their",     "there",      "these",
    "thing",      "things",  "think",     "thinking",  "thorough",  "thoroughly", "those",
    "though",     "through", "tokens",    "toward",    "under",     "until",      "using",
    "wants",      "where",   "whether",   "which",     "while",     "without",    "words",
    "would",      "write"};

static_assert(std::is_sorted(empty_words.begin(), empty_words.end()));

constexpr std::array<std::string_view, 3> stand_in_topics{"question", "next step", "choice"};

constexpr std::string_view stand_in_interest = "something you already love";
constexpr std::string_view stand_in_value = "clarity";

// A letter or digit of any script: ASCII's own, and above it everything but the blocks of
// punctuation.
bool is_letter(const code_point& c) noexcept {
  if (!c.valid)
    return false;
  if (c.value < 0x80)
    return (c.value | 0x20) - 'a' < 26u || c.value - '0' < 10u || c.value == '-' || c.value == '_';
  return c.value >= 0xc0 && !(c.value >= 0x2000 && c.value <= 0x2bff) &&
         !(c.value >= 0x3000 && c.value <= 0x303f) && c.value < 0xe000;
}

bool is_telling(std::string_view word) {
  const auto low = folded(word);
  return word.find_first_not_of("0123456789-_") != word.npos &&
         !std::binary_search(empty_words.begin(), empty_words.end(), std::string_view{low});
}

std::vector<std::string> topics_of(std::string_view message) {
  std::vector<std::string> result;
  size_t start = 0;
  size_t letters = 0;
  for (size_t pos = 0; pos <= message.size() && result.size() < max_topics;) {
    const auto c = decode_at(message, pos);
    if (c.length > 0 && is_letter(c)) {
      ++letters;
      pos += c.length;
      continue;
    }
    const auto word = message.substr(start, pos - start);
    if (letters >= least_topic_letters && letters <= most_topic_letters && is_telling(word) &&
        std::none_of(result.begin(), result.end(),
                     [&](const std::string& known) { return same_folded(known, word); }))
      result.emplace_back(word);
    letters = 0;
    pos += std::max<size_t>(c.length, 1);
    start = pos;
  }
  if (result.empty())
    result.assign(stand_in_topics.begin(), stand_in_topics.end());
  return result;
}

std::string quote_of(std::string_view message) {
  auto all = quotable(message, max_quote_code_points);
  size_t end = 0;
  for (size_t words = 0; words < max_quote_words && end != all.npos; ++words)
    end = all.find(' ', end + 1);
  if (end != all.npos)
    all.replace(end, all.npos, "…");
  return all;
}

/// "a", "a" and "b" … in typographic quotation marks.
void append_quoted(std::string& out, std::span<const std::string> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0)
      out += i + 1 == items.size() ? " and " : ", ";
    out.append("“").append(items[i]).append("”");
  }
}

void append_reflection(std::string& out, const subject& about, random_choice& random) {
  const auto& found = about.found;
  if (found.empty()) {
    constexpr std::array<std::string_view, 3> asks{
        " I see no link yet between that and what you have told me matters to you. What in it "
        "would you like to examine?",
        " Nothing you told me earlier connects to it so far, which may mean it is new ground. What "
        "part of it should we examine first?",
        " I cannot tie it to anything you have said you hold dear. What would you like to examine "
        "in it?"};
    out += random.pick(asks);
    return;
  }
  if (!found.preferences.empty()) {
    out += random.below(2) == 0 ? " Earlier you named " : " It touches what you once stated as ";
    append_quoted(out, found.preferences);
    out += random.below(2) == 0 ? ", and I hear an echo of it." : ", which still seems to hold.";
  }
  if (!found.patterns.empty()) {
    out += " There is also a pattern I know from you: ";
    append_quoted(out, std::span{found.patterns}.first(1));
    out += '.';
  }
}

void append_advice(std::string& out, const subject& about, const persona_seed& seed,
                   random_choice& random) {
  if (!about.found.patterns.empty()) {
    out += " You have a habit that helps here: ";
    append_quoted(out, std::span{about.found.patterns}.first(
                           std::min<size_t>(2, about.found.patterns.size())));
    out += random.below(2) == 0 ? ". Build on it, and let the first step be one you can undo."
                                : ". Start from there, and leave the rest for later.";
    return;
  }
  constexpr std::array<std::string_view, 3> advice{
      " My advice, plainly: take the smallest step that would teach you something, and do it "
      "before you plan the second.",
      " I would keep it simple: say what you want in one sentence, then drop whatever does not "
      "serve it.",
      " I would choose the option that is easiest to undo, and look again in a week."};
  out += random.pick(advice);
  out += " It fits your liking for ";
  out += seed.values.empty() ? stand_in_value : std::string_view{random.pick(seed.values)};
  out += '.';
}

void append_challenge(std::string& out, const eigenvectors& axes, random_choice& random) {
  std::vector<std::string_view> fitting;
  if (axes[axis::aesthetic].value < 0.3)
    fitting.push_back(
        " You like things bare. Is this simple because it is finished, or because something was "
        "left out that others will have to add?");
  if (axes[axis::categorical].value > 0.8)
    fitting.push_back(
        " You think in structures. Which particular person, on which particular day, would notice "
        "the difference this makes?");
  if (axes[axis::heterarchy].value > 0.8)
    fitting.push_back(
        " You trust peers over ranks. Who decides when the peers cannot agree, and have you told "
        "them that it is their turn?");
  fitting.push_back(
      " Suppose a friend told you this, word for word. Which piece of advice would you give that "
      "you are not taking yourself?");
  out += random.pick(fitting);
}

void append_exploration(std::string& out, const persona_seed& seed, random_choice& random) {
  std::string_view one = stand_in_interest;
  std::string_view two = "a field you know nothing about";
  if (const auto n = seed.interests.size(); n > 0) {
    const auto first = random.below(n);
    one = seed.interests[first];
    if (n > 1)
      two = seed.interests[(first + 1 + random.below(n - 1)) % n];
  }
  constexpr std::array<std::array<std::string_view, 3>, 3> frames{{
      {" Put it beside ", " and ", ": each would draw the line around it somewhere else."},
      {" Two of your interests meet here, ", " and ", ", and neither would ask what you asked."},
      {" I wonder what it becomes when you cross ", " with ", " and look back from there."},
  }};
  const auto& [before, between, after] = random.pick(frames);
  out.append(before).append(one).append(between).append(two).append(after);
}

}  // namespace

subject subject_of(std::string_view message, const persona_seed& seed) {
  const auto seen = first_bytes(message, reading_window_bytes);
  return {quote_of(seen), topics_of(seen), match(seen, seed)};
}

void append_opening(std::string& out, mode x, const subject& about, const persona_seed& seed,
                    const eigenvectors& axes, random_choice& random) {
  constexpr std::array<std::array<std::string_view, 3>, 4> takes{{
      {"You say “", "I hear you say “", "“"},
      {"You ask about “", "Here is how I see “", "About “"},
      {"You claim “", "Let me push back on “", "Against “"},
      {"Let us wander around “", "There is more room in “", "Start with “"},
  }};
  constexpr std::array<std::array<std::string_view, 3>, 4> ends{{
      {"”.", "”.", "” is what I take away."},
      {"”.", "”.", "”, then."},
      {"”, so let me disagree.", "”.", "” there is at least one good case."},
      {"”.", "” than it seems.", "” and follow it outward."},
  }};
  const auto i = static_cast<size_t>(x);
  const auto variant = random.below(takes[i].size());
  out.append(takes[i][variant]).append(about.quote).append(ends[i][variant]);
  switch (x) {
    case mode::reflect:
      return append_reflection(out, about, random);
    case mode::advise:
      return append_advice(out, about, seed, random);
    case mode::challenge:
      return append_challenge(out, axes, random);
    case mode::explore:
      return append_exploration(out, seed, random);
  }
}

void append_line(std::string& out, std::string_view line, const subject& about,
                 const persona_seed& seed, random_choice& random) {
  while (!line.empty()) {
    const auto open = std::min(line.find('{'), line.size());
    out += line.substr(0, open);
    line.remove_prefix(open);
    const auto close = line.find('}');
    if (close == line.npos)
      return;
    const auto slot = line.substr(1, close - 1);
    if (slot == "topic")
      out.append("“").append(random.pick(about.topics)).append("”");
    else if (slot == "interest")
      out += seed.interests.empty() ? stand_in_interest
                                    : std::string_view{random.pick(seed.interests)};
    else
      out += seed.values.empty() ? stand_in_value : std::string_view{random.pick(seed.values)};
    line.remove_prefix(close + 1);
  }
}

}  // namespace kgents::persona
