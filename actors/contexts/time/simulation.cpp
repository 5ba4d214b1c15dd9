#include "actors/contexts/time/simulation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace kgents::actors {

namespace json = boost::json;

namespace {

struct rule {
  std::string_view name;
  double variable::* member;
};

constexpr std::array<rule, 5> rules{{{"growth", &variable::growth},
                                     {"delta", &variable::delta},
                                     {"noise", &variable::noise},
                                     {"min", &variable::least},
                                     {"max", &variable::most}}};

bool is_rule(std::string_view name) {
  return name == "state" || name == "seed" ||
         std::any_of(rules.begin(), rules.end(), [&](const auto& x) { return x.name == name; });
}

/// Uniform in (0, 1): the generator of Steele, Lea and Flood (SplitMix64), the same everywhere.
double next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  auto x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  x ^= x >> 31;
  return (static_cast<double>(x >> 11) + 0.5) * 0x1.0p-53;
}

/// Normal, by Box and Muller.
double gauss(uint64_t& state) {
  const auto radius = std::sqrt(-2 * std::log(next_random(state)));
  return radius * std::cos(2 * std::numbers::pi * next_random(state));
}

std::string take_rule(variables& into, const rule& which, const json::value& x) {
  const auto name = std::string{which.name};
  if (x.is_number()) {
    for (auto& [key, each] : into)
      each.*which.member = x.to_number<double>();
    return {};
  }
  if (!x.is_object())
    return name + " must be a number or an object of numbers";
  for (const auto& [key, value] : x.get_object()) {
    const auto at = into.find(std::string{key});
    if (at == into.end() || !value.is_number())
      return name + "." + std::string{key} + " must be a number for a member of the state";
    at->second.*which.member = value.to_number<double>();
  }
  return {};
}

}  // namespace

std::variant<variables, std::string> read_variables(const json::object& from) {
  variables out;
  const auto* state = from.if_contains("state");
  if (state != nullptr && !state->is_object())
    return std::string{"state must be an object of numbers"};
  for (const auto& [name, value] : state != nullptr ? state->get_object() : from) {
    if (state == nullptr && is_rule(name))
      continue;
    if (!value.is_number())
      return std::string{name} + " must be a number";
    out[std::string{name}].value = value.to_number<double>();
  }
  if (out.size() > most_variables)
    return "at most " + std::to_string(most_variables) + " numbers can be followed";
  for (const auto& which : rules)
    if (const auto* x = from.if_contains(which.name))
      if (auto wrong = take_rule(out, which, *x); !wrong.empty())
        return wrong;
  for (const auto& [name, x] : out)
    if (x.least > x.most)
      return "min of " + name + " is above its max";
  return out;
}

json::array simulated(variables state, int64_t steps, uint64_t seed) {
  json::array out;
  for (int64_t step = 0; step < steps; ++step) {
    json::object now;
    for (auto& [name, x] : state) {
      if (step > 0) {
        const auto wobble = x.noise != 0 ? x.noise * std::abs(x.value) * gauss(seed) : 0;
        const auto next = x.value * (1 + x.growth) + x.delta + wobble;
        x.value = std::isnan(next) ? x.value : next;
      }
      x.value = std::clamp(x.value, x.least, x.most);
      now[name] = x.value;
    }
    out.emplace_back(json::object{{"step", step}, {"state", std::move(now)}});
  }
  return out;
}

}  // namespace kgents::actors
