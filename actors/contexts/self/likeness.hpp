#pragma once

#include <boost/json/array.hpp>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

/// How alike contents are, and whether keeping one is worth it. Pure.
namespace kgents::actors::self_memory {

constexpr size_t text_dimensions = 256;
constexpr size_t most_dimensions = 2'048;

/// A vector of length 1 made from the words of a text and their parts, by feature hashing
/// (Weinberger et al. 2009): texts with words in common have a cosine above 0, however they are
/// inflected. The same text gives the same vector everywhere. All zeros for a text without words.
[[nodiscard]] std::vector<float> text_vector(std::string_view text);

/// Scaled to length 1; nothing when it is no list of finite numbers, all zeros, empty or too long.
[[nodiscard]] std::optional<std::vector<float>> unit_vector(const boost::json::array& from);

struct free_energy {
  double complexity_cost = 0;  ///< [0, 1]
  double accuracy_gain = 0;    ///< [0, 2]

  [[nodiscard]] double value() const noexcept { return complexity_cost - accuracy_gain; }
  [[nodiscard]] bool retain() const noexcept { return value() <= 0; }
  /// promote, retain, or demote.
  [[nodiscard]] std::string_view advice() const noexcept;
};

constexpr double promote_at = -0.5;
constexpr double demote_at = 0.5;

/// What a content costs (the logarithm of its distinct words) against what it gives: its relevance,
/// and up to as much again for traces that were left at it.
[[nodiscard]] free_energy energy_of(uint32_t distinct_words, double relevance,
                                    double trace_intensity) noexcept;

/// In any case, without punctuation.
[[nodiscard]] uint32_t distinct_words(std::string_view text);

}  // namespace kgents::actors::self_memory
