#include "actors/contexts/concept/summary.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <map>

#include "actors/contexts/words.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

constexpr size_t most_sentences = 64;
constexpr size_t most_text = 32 * 1024;

using word_set = std::vector<std::string>;  // sorted

std::vector<word_set> word_sets(const std::vector<std::string>& sentences) {
  std::vector<word_set> out;
  for (const auto& x : sentences) {
    out.push_back(words::telling(x, 256));
    std::sort(out.back().begin(), out.back().end());
  }
  return out;
}

double overlap(const word_set& a, const word_set& b) {
  if (a.empty() || b.empty())
    return 0;
  word_set shared;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(shared));
  return static_cast<double>(shared.size()) / std::sqrt(static_cast<double>(a.size() * b.size()));
}

double coherence(const std::vector<word_set>& all) {
  if (all.size() < 2)
    return 1;
  double sum = 0;
  for (size_t i = 1; i < all.size(); ++i)
    sum += overlap(all[i - 1], all[i]);
  return sum / static_cast<double>(all.size() - 1);
}

/// The sentence of whose words the smallest share is in any other.
size_t loosest(const std::vector<word_set>& all) {
  std::map<std::string_view, size_t> in_sentences;
  for (const auto& x : all)
    for (const auto& word : x)
      ++in_sentences[word];
  size_t out = 0;
  double least = 2;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto shared = std::count_if(all[i].begin(), all[i].end(),
                                      [&](const auto& word) { return in_sentences[word] > 1; });
    const auto share =
        all[i].empty() ? 0.0 : static_cast<double>(shared) / static_cast<double>(all[i].size());
    if (share < least) {
      least = share;
      out = i;
    }
  }
  return out;
}

}  // namespace

double coherence(const std::vector<std::string>& sentences) {
  return coherence(word_sets(sentences));
}

summary summarized(std::string_view text, double target_coherence) {
  auto left = words::sentences(text, most_sentences);
  auto sets = word_sets(left);
  const auto before = left.size();
  auto now = coherence(sets);
  while (left.size() > 1 && now < target_coherence) {
    const auto at = static_cast<std::ptrdiff_t>(loosest(sets));
    left.erase(left.begin() + at);
    sets.erase(sets.begin() + at);
    now = coherence(sets);
  }
  summary out;
  for (const auto& x : left)
    out.text += (out.text.empty() ? "" : " ") + x;
  out.coherence = now;
  out.kept = left.size();
  out.dropped = before - left.size();
  return out;
}

std::string text_of(const json::value& x) {
  if (x.is_string())
    return words::shortened(x.get_string(), most_text);
  if (x.is_object())
    for (const std::string_view member :
         {"text", "content", "summary", "description", "refined", "definition", "response"})
      if (const auto* y = x.get_object().if_contains(member);
          y != nullptr && y->is_string() && !y->get_string().empty())
        return words::shortened(y->get_string(), most_text);
  return words::shortened(json::serialize(x), most_text);
}

}  // namespace kgents::actors
