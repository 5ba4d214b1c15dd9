#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <optional>

namespace kgents::sql {

/// An amount of entropy or capital, counted in 1e-9 so that sums are exact whatever their order.
struct nano_amount {
  int64_t nanos = 0;

  static constexpr double nanos_per_unit = 1e9;
  static constexpr double most_units = 1e9;

  /// Rounded once to the next 1e-9; more than `most_units` becomes that. None for what is no finite
  /// number above 0, or rounds to 0.
  [[nodiscard]] static std::optional<nano_amount> of(double units) noexcept {
    if (!std::isfinite(units) || units <= 0)
      return std::nullopt;
    const nano_amount out{std::llround(std::fmin(units, most_units) * nanos_per_unit)};
    return out.nanos > 0 ? std::optional{out} : std::nullopt;
  }

  [[nodiscard]] constexpr double units() const noexcept {
    return static_cast<double>(nanos) / nanos_per_unit;
  }

  friend auto operator<=>(const nano_amount&, const nano_amount&) = default;
};

}  // namespace kgents::sql
