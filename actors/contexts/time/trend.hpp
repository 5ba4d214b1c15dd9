#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::actors {

/// A number that was seen at a time.
struct observation {
  double at = 0;  ///< seconds, from any origin
  double value = 0;
};

enum class trend_direction : uint8_t { uncertain, stable, rising, falling };

[[nodiscard]] std::string_view to_string(trend_direction x) noexcept;

/// The line of least squares through observations, and how well it holds.
struct trend {
  trend_direction direction = trend_direction::uncertain;
  double confidence = 0.5;  ///< from 0 to 1
  double level = 0;         ///< on the line, at the last observation
  double slope = 0;         ///< per second
  double spread = 0;        ///< standard deviation from the line
  size_t count = 0;
};

/// Observations that say anything: with fewer the trend is uncertain.
inline constexpr size_t least_observations = 3;

/// Confidence is the share of the variation that the line explains, less what few observations make
/// of anything: r² · (1 − 1 ∕ (n − 1)); a level that does not vary is certain likewise. It rises or
/// falls when the line moves by more than its spread, or a hundredth of the level, from the first
/// observation to the last.
[[nodiscard]] trend trend_of(std::vector<observation> seen);

struct scenario {
  std::string name;  ///< optimistic, baseline, pessimistic
  double probability = 0;
  double value = 0;  ///< at the horizon
};

/// What is to be expected so many seconds after the last observation. The probabilities add up to 1:
/// .3, .4 and .3 when nothing is known, and with confidence more for the line (up to .8) and, of the
/// rest, more for the side it leans to.
[[nodiscard]] std::vector<scenario> scenarios_of(const trend& x, double horizon);

}  // namespace kgents::actors
