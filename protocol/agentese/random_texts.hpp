#pragma once

// Random texts for the property tests of this folder. Seeds are fixed, so that a failure repeats.
// Tests include it after they have named their suite.

#include <caf/test/dsl.hpp>
#include <random>
#include <string>
#include <string_view>

#include "protocol/agentese/path.hpp"

namespace kgents::agentese {

/// Checks a property of one random text. CAF's own macros write a line for each check that passes,
/// which takes minutes for a million of them.
inline void holds(bool property, const std::string& about) {
  if (!property)
    CAF_FAIL("does not hold for \"" + printable(about, 4096) + "\"");
}

class random_texts {
public:
  explicit random_texts(uint64_t seed) : engine_{seed} {}

  /// From 0 to n - 1.
  size_t below(size_t n) { return std::uniform_int_distribution<size_t>{0, n - 1}(engine_); }
  bool one_in(size_t n) { return below(n) == 0; }

  std::string identifier(size_t most = 8) {
    std::string result(1, static_cast<char>('a' + below(26)));
    while (result.size() < most && !one_in(6))
      result.push_back("abcdefghijklmnopqrstuvwxyz0123456789_"[below(37)]);
    return result;
  }

  std::string node(size_t most_segments = 15) {
    std::string result{context_names[below(context_names.size())]};
    result.append(1, '.').append(identifier());
    for (size_t segments = 2; segments < most_segments && one_in(3); ++segments)
      result.append(1, '.').append(identifier());
    return result;
  }

  std::string path() { return node().append(1, '.').append(identifier()); }

  /// Anything, with the characters that mean something more often than the others.
  std::string garbage(size_t most = 64) {
    constexpr std::string_view likely =
        "world.selfconceptvoidtime.[]@=>> ?*,()_-AZ09;/\\'\"\xc3\xa9\n";
    std::string result(below(most + 1), '\0');
    for (auto& c : result)
      c = one_in(5) ? static_cast<char>(below(256)) : likely[below(likely.size())];
    return result;
  }

  /// A text that was right, with a few bytes changed, added or taken away.
  std::string damaged(std::string text) {
    for (size_t n = 1 + below(3); n > 0 && !text.empty(); --n) {
      const auto at = below(text.size());
      switch (below(3)) {
        case 0:
          text[at] = static_cast<char>(below(256));
          break;
        case 1:
          text.insert(at, garbage(4));
          break;
        default:
          text.erase(at, 1 + below(4));
      }
    }
    return text;
  }

private:
  std::mt19937_64 engine_;
};

}  // namespace kgents::agentese
