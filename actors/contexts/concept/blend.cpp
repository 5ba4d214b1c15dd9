#include "actors/contexts/concept/blend.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <tuple>

#include "actors/contexts/words.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// Two words that are alike to this degree are forms of one: light and lights, create and creation.
constexpr double same_word = 0.6;

const std::string* counterpart(const std::string& word, const std::vector<std::string>& in) {
  const std::string* best = nullptr;
  double most = same_word;
  for (const auto& x : in)
    if (const auto y = words::alike(word, x); y >= most) {
      best = &x;
      most = y;
    }
  return best;
}

double best_match(const std::string& word, const std::vector<std::string>& in) {
  double most = 0;
  for (const auto& x : in)
    most = std::max(most, words::alike(word, x));
  return most;
}

json::array array_of(const std::vector<std::string>& x) {
  json::array out;
  for (const auto& y : x)
    out.emplace_back(y);
  return out;
}

json::object to_json(const input_space& x) {
  return {{"name", x.name}, {"features", array_of(x.features)}};
}

}  // namespace

input_space space_of(std::string_view name, std::string_view description) {
  return {std::string{name},
          words::telling(words::spoken(name) + " " + std::string{description}, max_features)};
}

blend blend_of(input_space a, input_space b) {
  blend out;
  std::vector<std::string> only_a;
  std::vector<std::string> only_b;
  for (const auto& x : a.features)
    (counterpart(x, b.features) != nullptr ? out.generic : only_a).push_back(x);
  for (const auto& x : b.features)
    if (counterpart(x, a.features) == nullptr)
      only_b.push_back(x);
  out.blended = out.generic;
  for (size_t i = 0; i < std::max(only_a.size(), only_b.size()); ++i) {
    if (i < only_a.size())
      out.blended.push_back(only_a[i]);
    if (i < only_b.size())
      out.blended.push_back(only_b[i]);
  }
  // The farther apart two features are, the more their meeting says that neither said before. Each
  // feature takes part once.
  std::vector<std::tuple<double, size_t, size_t>> pairs;
  for (size_t i = 0; i < only_a.size(); ++i)
    for (size_t j = 0; j < only_b.size(); ++j)
      pairs.emplace_back(words::alike(only_a[i], only_b[j]), i + j, i);
  std::sort(pairs.begin(), pairs.end());
  std::vector<bool> used_a(only_a.size());
  std::vector<bool> used_b(only_b.size());
  for (const auto& [alike, sum, i] : pairs) {
    const auto j = sum - i;
    if (used_a[i] || used_b[j] || out.emergent.size() == max_emergent)
      continue;
    used_a[i] = used_b[j] = true;
    out.emergent.push_back(only_a[i] + " " + only_b[j]);
  }
  const auto& small = a.features.size() <= b.features.size() ? a.features : b.features;
  const auto& large = a.features.size() <= b.features.size() ? b.features : a.features;
  for (const auto& x : small)
    out.alignment += best_match(x, large) / static_cast<double>(small.size());
  out.alignment = std::min(out.alignment, 1.0);
  out.a = std::move(a);
  out.b = std::move(b);
  return out;
}

json::object to_json(const blend& x) {
  return {{"input_space_a", to_json(x.a)},
          {"input_space_b", to_json(x.b)},
          {"generic_space", array_of(x.generic)},
          {"blended_space", array_of(x.blended)},
          {"emergent_features", array_of(x.emergent)},
          {"alignment_score", x.alignment}};
}

}  // namespace kgents::actors
