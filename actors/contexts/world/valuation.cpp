#include "actors/contexts/world/valuation.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// A trend smaller than this a trade is none.
constexpr double steady = 0.01;

std::optional<double> number_in(const json::object& x, std::string_view member) {
  const auto* y = x.if_contains(member);
  if (y == nullptr || !y->is_number())
    return std::nullopt;
  return y->to_number<double>();
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  const auto half = x.size() / 2;
  return x.size() % 2 == 1 ? x[half] : (x[half - 1] + x[half]) / 2;
}

}  // namespace

std::string_view valuation::trend_text() const noexcept {
  if (trades < 2)
    return "uncertain";
  return trend > steady ? "rising" : trend < -steady ? "falling" : "steady";
}

std::optional<double> valuation::after(double trades_ahead) const noexcept {
  if (!value)
    return std::nullopt;
  return std::max(0.0, *value * (1 + trend * trades_ahead));
}

valuation valued(const std::vector<double>& prices) {
  valuation out;
  out.trades = prices.size();
  if (prices.empty())
    return out;
  out.value = median(prices);
  const auto n = static_cast<double>(prices.size());
  const auto middle = (n - 1) / 2;
  double mean = 0;
  for (const auto x : prices)
    mean += x / n;
  double along = 0;
  double square = 0;
  double scatter = 0;
  for (size_t i = 0; i < prices.size(); ++i) {
    const auto d = static_cast<double>(i) - middle;
    along += d * (prices[i] - mean);
    square += d * d;
    scatter += (prices[i] - mean) * (prices[i] - mean) / n;
  }
  if (square > 0 && *out.value > 0)
    out.trend = along / square / *out.value;
  const auto relative = mean > 0 ? std::sqrt(scatter) / mean : 1.0;
  out.confidence = 0.5 + 0.5 * (1 - 1 / n) * std::max(0.0, 1 - relative);
  return out;
}

valuation valued(const json::object& state) {
  std::vector<double> prices;
  if (const auto* trades = state.if_contains("trades"); trades != nullptr && trades->is_array()) {
    const auto& all = trades->get_array();
    for (size_t i = all.size() - std::min(all.size(), trades_valued); i < all.size(); ++i)
      if (all[i].is_object())
        if (const auto price = number_in(all[i].get_object(), "price"))
          prices.push_back(*price);
  }
  auto out = valued(prices);
  if (!out.value)
    out.value = number_in(state, "market_value");
  return out;
}

std::optional<double> days_of(std::string_view horizon) {
  double n = 0;
  const auto* end = horizon.data() + horizon.size();
  const auto parsed = std::from_chars(horizon.data(), end, n);
  if (parsed.ec != std::errc{} || end - parsed.ptr != 1 || !std::isfinite(n) || n <= 0)
    return std::nullopt;
  double days = 0;
  switch (*parsed.ptr) {
    case 'm':
      days = n / 1440;
      break;
    case 'h':
      days = n / 24;
      break;
    case 'd':
      days = n;
      break;
    case 'w':
      days = n * 7;
      break;
    case 'y':
      days = n * 365;
      break;
    default:
      return std::nullopt;
  }
  return days <= 3650 ? std::optional{days} : std::nullopt;
}

}  // namespace kgents::actors
