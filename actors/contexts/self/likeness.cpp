#include "actors/contexts/self/likeness.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "actors/persona/text.hpp"

namespace kgents::actors::self_memory {

namespace json = boost::json;

namespace {

/// FNV-1a, with its bits mixed so that the low ones are as good as the others.
uint64_t hash_of(std::string_view text) noexcept {
  uint64_t x = 14'695'981'039'346'656'037ull;
  for (const char c : text)
    x = (x ^ static_cast<unsigned char>(c)) * 1'099'511'628'211ull;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  return x ^ x >> 33;
}

/// The sign comes from the hash as well, so that collisions cancel instead of adding up.
void add_feature(std::vector<double>& to, std::string_view feature, double weight) {
  const auto hash = hash_of(feature);
  to[hash % text_dimensions] += (hash >> 63) != 0 ? -weight : weight;
}

std::vector<std::string> words_in(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : persona::folded(text) + ' ') {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word.push_back(c);
    } else if (!word.empty()) {
      out.push_back(std::exchange(word, {}));
    }
  }
  return out;
}

std::vector<float> scaled(const std::vector<double>& x) {
  double sum = 0;
  for (const auto y : x)
    sum += y * y;
  const auto length = std::sqrt(sum);
  std::vector<float> out(x.size(), 0.0f);
  if (length > 0 && std::isfinite(length))
    for (size_t i = 0; i < x.size(); ++i)
      out[i] = static_cast<float>(x[i] / length);
  return out;
}

constexpr double whole_word = 1.0;
constexpr double part_of_word = 0.4;
constexpr size_t part_bytes = 4;

}  // namespace

std::vector<float> text_vector(std::string_view text) {
  std::vector<double> sum(text_dimensions, 0.0);
  for (const auto& word : words_in(text)) {
    add_feature(sum, word, whole_word);
    for (size_t i = 0; i + part_bytes <= word.size(); ++i)
      add_feature(sum, "#" + word.substr(i, part_bytes), part_of_word);
  }
  return scaled(sum);
}

std::optional<std::vector<float>> unit_vector(const json::array& from) {
  if (from.empty() || from.size() > most_dimensions)
    return std::nullopt;
  std::vector<double> all;
  bool some = false;
  for (const auto& x : from) {
    if (!x.is_number())
      return std::nullopt;
    all.push_back(x.to_number<double>());
    some = some || all.back() != 0;
    // Beyond this the sum of squares could overflow, and no embedding has such numbers.
    if (!std::isfinite(all.back()) || std::abs(all.back()) > 1e100)
      return std::nullopt;
  }
  return some ? std::optional{scaled(all)} : std::nullopt;
}

std::string_view free_energy::advice() const noexcept {
  return value() <= promote_at ? "promote" : value() >= demote_at ? "demote" : "retain";
}

free_energy energy_of(uint32_t distinct_words, double relevance, double trace_intensity) noexcept {
  // A content with this many distinct words costs as much as the most relevant one gives.
  constexpr double most_words = 4'000;
  free_energy out;
  out.complexity_cost =
      std::min(1.0, std::log1p(static_cast<double>(distinct_words)) / std::log1p(most_words));
  out.accuracy_gain = relevance * (1.0 + std::min(1.0, trace_intensity));
  return out;
}

uint32_t distinct_words(std::string_view text) {
  const auto words = words_in(text);
  return static_cast<uint32_t>(std::set<std::string_view>{words.begin(), words.end()}.size());
}

}  // namespace kgents::actors::self_memory
