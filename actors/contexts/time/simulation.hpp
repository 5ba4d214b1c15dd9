#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace kgents::actors {

/// How one number changes from step to step: x · (1 + growth) + delta, plus noise as a share of x,
/// kept between its bounds.
struct variable {
  double value = 0;
  double growth = 0;
  double delta = 0;
  double noise = 0;
  double least = -1e300;
  double most = 1e300;
};

using variables = std::map<std::string, variable>;

inline constexpr size_t most_variables = 32;

/// Reads `{state: {name: number}, growth, delta, noise, min, max}`; each of the latter is a number
/// for all or an object by name. Without `state`, the other numeric members are the state. A text:
/// what is wrong.
[[nodiscard]] std::variant<variables, std::string> read_variables(const boost::json::object& from);

/// `steps` states, the given one first: `[{step, state}]`. The same seed gives the same noise.
[[nodiscard]] boost::json::array simulated(variables state, int64_t steps, uint64_t seed);

}  // namespace kgents::actors
