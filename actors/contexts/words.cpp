#include "actors/contexts/words.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "actors/persona/text.hpp"

namespace kgents::actors::words {

namespace {

constexpr std::array<std::string_view, 92> common{
    "about",   "above", "after",  "again", "all",   "also",    "and",     "any",    "are",
    "because", "been",  "before", "being", "below", "between", "both",    "but",    "can",
    "could",   "did",   "does",   "doing", "down",  "during",  "each",    "either", "every",
    "few",     "for",   "from",   "had",   "has",   "have",    "having",  "her",    "here",
    "him",     "his",   "how",    "into",  "its",   "itself",  "just",    "least",  "less",
    "like",    "many",  "may",    "more",  "most",  "much",    "must",    "nor",    "not",
    "off",     "only",  "other",  "our",   "out",   "over",    "own",     "same",   "she",
    "should",  "since", "some",   "such",  "than",  "that",    "the",     "their",  "them",
    "then",    "there", "these",  "they",  "this",  "those",   "through", "too",    "under",
    "until",   "very",  "was",    "were",  "what",  "when",    "where",   "which",  "while",
    "with",    "you"};

bool letter(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u >= 'a' && u <= 'z') || (u >= '0' && u <= '9') || u >= 128;
}

}  // namespace

std::vector<std::string> telling(std::string_view text, size_t limit) {
  static_assert(std::is_sorted(common.begin(), common.end()));
  const auto lower = persona::folded(text);
  std::vector<std::string> out;
  for (size_t at = 0; at < lower.size() && out.size() < limit;) {
    if (!letter(lower[at])) {
      ++at;
      continue;
    }
    auto end = at;
    while (end < lower.size() && letter(lower[end]))
      ++end;
    auto word = lower.substr(at, end - at);
    at = end;
    if (word.size() >= 3 && !std::binary_search(common.begin(), common.end(), word) &&
        std::find(out.begin(), out.end(), word) == out.end())
      out.push_back(std::move(word));
  }
  return out;
}

std::vector<std::string> sentences(std::string_view text, size_t limit) {
  std::vector<std::string> out;
  size_t begin = 0;
  const auto take = [&](size_t end) {
    const auto one = persona::trimmed(text.substr(begin, end - begin));
    if (!one.empty() && out.size() < limit)
      out.emplace_back(one);
    begin = end;
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const auto c = text[at];
    const bool ends = c == '.' || c == '!' || c == '?';
    const bool space_follows = at + 1 == text.size() || text[at + 1] == ' ' || text[at + 1] == '\n';
    if ((ends && space_follows) || c == '\n')
      take(at + 1);
  }
  take(text.size());
  return out;
}

double alike(std::string_view a, std::string_view b) {
  if (a == b)
    return 1;
  // Three bytes each, with two spaces before the word and one behind it.
  const auto trigrams = [](std::string_view x) {
    std::vector<uint32_t> out;
    out.reserve(x.size() + 1);
    uint32_t window = (' ' << 8) | ' ';
    for (const char c : x) {
      window = ((window << 8) | static_cast<unsigned char>(c)) & 0xffffff;
      out.push_back(window);
    }
    out.push_back(((window << 8) | ' ') & 0xffffff);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  };
  const auto x = trigrams(a);
  const auto y = trigrams(b);
  const auto shared = std::count_if(
      x.begin(), x.end(), [&](uint32_t t) { return std::binary_search(y.begin(), y.end(), t); });
  return 2.0 * static_cast<double>(shared) / static_cast<double>(x.size() + y.size());
}

double overlap(std::string_view a, std::string_view b) {
  const auto x = telling(a, 256);
  const auto y = telling(b, 256);
  if (x.empty() || y.empty())
    return 0;
  const auto shared = std::count_if(x.begin(), x.end(), [&](const auto& word) {
    return std::find(y.begin(), y.end(), word) != y.end();
  });
  return static_cast<double>(shared) / std::sqrt(static_cast<double>(x.size() * y.size()));
}

std::string listed(std::span<const std::string> items, size_t most) {
  std::string out;
  const auto n = std::min(items.size(), most);
  for (size_t i = 0; i < n; ++i) {
    if (i > 0)
      out += i + 1 == n ? " and " : ", ";
    out += items[i];
  }
  return out;
}

std::string spoken(std::string_view identifier) {
  std::string out{identifier};
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

std::string sentence(std::string_view text) {
  std::string out{persona::trimmed(text)};
  if (out.empty())
    return out;
  if (out.front() >= 'a' && out.front() <= 'z')
    out.front() = static_cast<char>(out.front() - 32);
  if (std::string_view{".!?"}.find(out.back()) == std::string_view::npos)
    out += '.';
  return out;
}

std::string shortened(std::string_view text, size_t bytes) {
  if (text.size() <= bytes)
    return std::string{text};
  return std::string{persona::trimmed(persona::first_bytes(text, bytes))} + "…";
}

std::string with_article(std::string_view noun) {
  const bool vowel =
      !noun.empty() && std::string_view{"aeiouAEIOU"}.find(noun.front()) != std::string_view::npos;
  return (vowel ? "an " : "a ") + std::string{noun};
}

}  // namespace kgents::actors::words
