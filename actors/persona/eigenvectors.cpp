#include "actors/persona/eigenvectors.hpp"

#include "actors/persona/text.hpp"

#include <boost/json/value.hpp>

#include <algorithm>
#include <cmath>

namespace kgents::persona {

namespace {

struct row {
  std::string_view name;
  axis_position start;
  axis_poles poles;
};

constexpr std::array<row, all_axes.size()> table{{
    {"aesthetic", {0.15, 0.92}, {"minimalist", "baroque"}},
    {"categorical", {0.92, 0.95}, {"concrete", "abstract"}},
    {"gratitude", {0.78, 0.85}, {"utilitarian", "sacred"}},
    {"heterarchy", {0.88, 0.88}, {"hierarchical", "peer-to-peer"}},
    {"generativity", {0.90, 0.92}, {"documentation", "generation"}},
    {"joy", {0.75, 0.82}, {"austere", "playful"}},
}};

const row& of(axis x) noexcept { return table[static_cast<size_t>(x)]; }

std::string joined(std::string_view how, std::string_view pole) {
  std::string result(how);
  result += ' ';
  result += pole;
  return result;
}

std::optional<double> number_of(const boost::json::value* x) noexcept {
  if (!x || !x->is_number())
    return std::nullopt;
  boost::json::error_code ignored;
  const auto n = x->to_number<double>(ignored);
  return std::isfinite(n) ? std::optional{std::clamp(n, 0.0, 1.0)} : std::nullopt;
}

}  // namespace

std::string_view name(axis x) noexcept { return of(x).name; }
axis_poles poles(axis x) noexcept { return of(x).poles; }

std::optional<axis> parse_axis(std::string_view name) noexcept {
  for (auto x : all_axes)
    if (same_folded(of(x).name, name))
      return x;
  return std::nullopt;
}

eigenvectors::eigenvectors() noexcept {
  for (auto x : all_axes)
    positions_[static_cast<size_t>(x)] = of(x).start;
}

bool eigenvectors::modify(std::string_view axis_name, const axis_change& change) noexcept {
  const auto x = parse_axis(axis_name);
  const auto delta = change.delta.value_or(0);
  if (!x || !std::isfinite(delta) || !std::isfinite(change.absolute.value_or(0)) ||
      !std::isfinite(change.confidence_delta))
    return false;
  auto& at = positions_[static_cast<size_t>(*x)];
  at.value = std::clamp(change.absolute.value_or(at.value + delta), 0.0, 1.0);
  at.confidence = std::clamp(at.confidence + change.confidence_delta, 0.0, 1.0);
  return true;
}

std::string eigenvectors::describe(axis x) const {
  const auto value = (*this)[x].value;
  if (value < 0.4)
    return joined("strongly", poles(x).low);
  if (value < 0.5)
    return joined("slightly", poles(x).low);
  if (value < 0.6)
    return "neutral";
  return joined(value < 0.7 ? "slightly" : "strongly", poles(x).high);
}

std::string eigenvectors::tendency(axis x) const {
  const auto value = (*this)[x].value;
  if (value < 0.5)
    return joined(value < 0.3 ? "strongly" : "leans", poles(x).low);
  if (value > 0.5)
    return joined(value > 0.7 ? "strongly" : "leans", poles(x).high);
  return "balanced";
}

boost::json::object eigenvectors::values() const {
  boost::json::object result;
  for (auto x : all_axes)
    result[name(x)] = (*this)[x].value;
  return result;
}

boost::json::object eigenvectors::full() const {
  boost::json::object result;
  for (auto x : all_axes)
    result[name(x)] = {{"value", (*this)[x].value}, {"confidence", (*this)[x].confidence}};
  return result;
}

size_t eigenvectors::import(const boost::json::object& from) noexcept {
  size_t taken = 0;
  for (auto x : all_axes) {
    const auto* given = from.if_contains(name(x));
    if (!given)
      continue;
    const auto* nested = given->if_object();
    const auto value = number_of(nested ? nested->if_contains("value") : given);
    const auto confidence = nested ? number_of(nested->if_contains("confidence")) : std::nullopt;
    auto& at = positions_[static_cast<size_t>(x)];
    at.value = value.value_or(at.value);
    at.confidence = confidence.value_or(at.confidence);
    taken += value || confidence;
  }
  return taken;
}

}  // namespace kgents::persona
