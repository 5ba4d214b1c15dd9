#pragma once

// Which of the names that exist a misspelled one could have meant.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::agentese {

constexpr size_t max_suggestions = 5;

/// Levenshtein distance, or `most` + 1 as soon as it is clear to be larger than `most`: costs at
/// most length × (2 · most + 1) steps.
[[nodiscard]] size_t edit_distance(std::string_view a, std::string_view b, size_t most = 64);

/// Up to `n` (at most 5) candidates within half the length of `text` (at least 2, at most 8 edits),
/// nearest first, then in the order of their names. Looks at no more than the first 10,000
/// candidates.
[[nodiscard]] std::vector<std::string> similar(std::string_view text,
                                               std::span<const std::string_view> candidates,
                                               size_t n = max_suggestions);
[[nodiscard]] std::vector<std::string> similar(std::string_view text,
                                               std::span<const std::string> candidates,
                                               size_t n = max_suggestions);

}  // namespace kgents::agentese
