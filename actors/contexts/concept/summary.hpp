#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::actors {

/// 0 … 1: how much each sentence has to do with the one before (mean overlap of their telling
/// words); 1 for one sentence or none.
[[nodiscard]] double coherence(const std::vector<std::string>& sentences);

struct summary {
  std::string text;
  double coherence = 1;
  size_t kept = 0;  ///< sentences
  size_t dropped = 0;
};

/// Leaves out the sentence that has least to do with the rest until what is left is as coherent as
/// wanted; the order stays. The first 64 sentences are looked at.
[[nodiscard]] summary summarized(std::string_view text, double target_coherence);

/// What a value says, in words: a text as it is, of an object the text that it is about.
[[nodiscard]] std::string text_of(const boost::json::value& x);

}  // namespace kgents::actors
