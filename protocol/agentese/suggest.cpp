#include "protocol/agentese/suggest.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace kgents::agentese {
namespace {

constexpr size_t max_candidates = 10'000;
/// No path is longer, and the cost grows with the length.
constexpr size_t max_text_bytes = 512;

template <class Text>
std::vector<std::string> nearest(std::string_view text, std::span<const Text> candidates,
                                 size_t n) {
  if (text.empty() || text.size() > max_text_bytes)
    return {};
  const auto most = std::clamp<size_t>(text.size() / 2, 2, 8);
  std::vector<std::pair<size_t, std::string_view>> found;
  for (const auto& each : candidates.first(std::min(candidates.size(), max_candidates)))
    if (const auto distance = edit_distance(text, each, most); distance <= most)
      found.emplace_back(distance, each);
  const auto keep = std::min({n, max_suggestions, found.size()});
  std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(keep), found.end());
  std::vector<std::string> result;
  for (size_t i = 0; i < keep; ++i)
    result.emplace_back(found[i].second);
  return result;
}

}  // namespace

// Ukkonen's band: a cell further than `most` from the diagonal cannot be on a path of at most
// `most` edits.
size_t edit_distance(std::string_view a, std::string_view b, size_t most) {
  if (a.size() > b.size())
    std::swap(a, b);
  if (b.size() - a.size() > most)
    return most + 1;
  const auto beyond = most + 1;
  if (a.empty())
    return b.size();
  std::vector<size_t> row(a.size() + 1);  // distances of prefixes of a to the prefix of b so far
  for (size_t i = 0; i <= a.size(); ++i)
    row[i] = std::min(i, beyond);
  for (size_t j = 1; j <= b.size(); ++j) {
    const auto low = j > most ? j - most : 1;
    const auto high = std::min(a.size(), j + most);
    auto diagonal = row[low - 1];
    row[low - 1] = low == 1 ? std::min(j, beyond) : beyond;
    auto least = row[low - 1];
    for (size_t i = low; i <= high; ++i) {
      const auto above = j + most > i ? row[i] : beyond;
      const auto best =
          std::min({diagonal + (a[i - 1] == b[j - 1] ? 0 : 1), row[i - 1] + 1, above + 1, beyond});
      diagonal = row[i];
      row[i] = best;
      least = std::min(least, best);
    }
    if (least >= beyond)
      return beyond;
  }
  return std::min(row[a.size()], beyond);
}

std::vector<std::string> similar(std::string_view text,
                                 std::span<const std::string_view> candidates, size_t n) {
  return nearest(text, candidates, n);
}

std::vector<std::string> similar(std::string_view text, std::span<const std::string> candidates,
                                 size_t n) {
  return nearest(text, candidates, n);
}

}  // namespace kgents::agentese
