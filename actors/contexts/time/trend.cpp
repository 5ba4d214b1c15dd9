#include "actors/contexts/time/trend.hpp"

#include <algorithm>
#include <cmath>

namespace kgents::actors {

namespace {

constexpr double hundredth = 0.01;

double round3(double x) { return std::round(x * 1000) / 1000; }

}  // namespace

std::string_view to_string(trend_direction x) noexcept {
  constexpr std::string_view names[] = {"uncertain", "stable", "rising", "falling"};
  return names[static_cast<size_t>(x)];
}

trend trend_of(std::vector<observation> seen) {
  trend out;
  out.count = seen.size();
  if (seen.empty())
    return out;
  std::stable_sort(seen.begin(), seen.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  const auto n = static_cast<double>(seen.size());
  double mean_at = 0;
  double mean = 0;
  for (const auto& x : seen) {
    mean_at += x.at / n;
    mean += x.value / n;
  }
  double across = 0;
  double together = 0;
  double up = 0;
  for (const auto& x : seen) {
    across += (x.at - mean_at) * (x.at - mean_at);
    together += (x.at - mean_at) * (x.value - mean);
    up += (x.value - mean) * (x.value - mean);
  }
  out.slope = across > 0 ? together / across : 0;
  out.level = mean + out.slope * (seen.back().at - mean_at);
  const auto left = std::max(0.0, up - out.slope * together);
  out.spread = std::sqrt(left / n);
  if (seen.size() < least_observations || across <= 0 || !std::isfinite(out.slope) ||
      !std::isfinite(out.spread)) {
    out.slope = 0;
    out.level = seen.back().value;
    out.spread = std::isfinite(out.spread) ? out.spread : 0;
    return out;
  }
  // A line that explains nothing of what varies is no line; a value that does not vary is one.
  const bool level = up <= 1e-12 * std::max(1.0, mean * mean) * n;
  const auto explained = level ? 1.0 : std::clamp(1 - left / up, 0.0, 1.0);
  out.confidence = round3(explained * (1 - 1 / (n - 1)));
  const auto moved = out.slope * (seen.back().at - seen.front().at);
  const auto noticeable = std::max(out.spread, hundredth * std::abs(mean));
  using enum trend_direction;
  if (level || std::abs(moved) <= noticeable)
    out.direction = stable;
  else
    out.direction = moved > 0 ? rising : falling;
  if (out.direction == stable && !level)  // that it stays is the likelier the less it varies
    out.confidence =
        round3((1 - std::min(1.0, out.spread / std::max(std::abs(mean), 1e-9))) * (1 - 1 / (n - 1)));
  return out;
}

std::vector<scenario> scenarios_of(const trend& x, double horizon) {
  const auto expected = x.level + x.slope * horizon;
  // The line's own error grows with the distance from what was seen; here it is told as its spread.
  const auto margin = std::max(x.spread, 0.0);
  double baseline = 0.4;
  double lean = 0;
  if (x.direction != trend_direction::uncertain) {
    baseline = 0.4 + 0.4 * x.confidence;
    const auto sign = x.direction == trend_direction::rising    ? 1
                      : x.direction == trend_direction::falling ? -1
                                                                : 0;
    lean = 0.5 * x.confidence * sign;
  }
  const auto rest = 1 - baseline;
  const auto optimistic = round3(rest * (0.5 + lean / 2));
  const auto middle = round3(baseline);
  return {{"optimistic", optimistic, expected + margin},
          {"baseline", middle, expected},
          {"pessimistic", round3(1 - optimistic - middle), expected - margin}};
}

}  // namespace kgents::actors
