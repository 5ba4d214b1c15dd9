#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::actors {

/// What an entity is worth, from the trades in its state (`trades: [{price, quantity, timestamp}]`)
/// or, without any, from `market_value`.
struct valuation {
  std::optional<double> value;  ///< median price of the newest trades
  size_t trades = 0;
  /// Change of the price from one trade to the next (least squares), as a share of the value.
  double trend = 0;
  /// 0.5 without trades, growing with their number, less where prices scatter.
  double confidence = 0.5;

  /// rising, falling, steady or uncertain
  [[nodiscard]] std::string_view trend_text() const noexcept;
  /// The value after so many further trades; nothing where there is none.
  [[nodiscard]] std::optional<double> after(double trades_ahead) const noexcept;
};

constexpr size_t trades_valued = 20;

[[nodiscard]] valuation valued(const boost::json::object& state);
[[nodiscard]] valuation valued(const std::vector<double>& prices);

/// "1d", "2h", "30m", "1w" in days; nothing for another text or one beyond ten years.
[[nodiscard]] std::optional<double> days_of(std::string_view horizon);

}  // namespace kgents::actors
