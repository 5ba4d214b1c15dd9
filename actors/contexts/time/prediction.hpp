#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::actors {

/// Of these full paths or nodes, the one that a question is about: named in full, or else the first
/// whose node's last word stands in it. Nothing when none does. Give the likelier ones first.
[[nodiscard]] std::optional<std::string> subject_of(std::string_view question,
                                                    const std::vector<std::string>& paths);

struct prediction {
  std::string text;
  double confidence = 0.5;
  std::string reasoning;
};

/// Reads what a model was asked to answer: lines `PREDICTION:`, `CONFIDENCE:` (a number, kept within
/// 0 and 1), `REASONING:`. Nothing without the first two.
[[nodiscard]] std::optional<prediction> parse_prediction(std::string_view answer);

/// What the model is told of its task and of that form.
[[nodiscard]] std::string_view prediction_task() noexcept;

}  // namespace kgents::actors
