#include "actors/contexts/void/metabolic.hpp"

#include <algorithm>
#include <cmath>

#include "actors/contexts/void/limits.hpp"

namespace kgents::actors::void_nodes {

namespace {

void rest(sql::metabolism& x, double until) {
  const auto ticks = std::max(0.0, until - x.settled_to);
  x.pressure *= std::pow(limits::kept_per_tick, ticks);
  x.settled_to = std::max(x.settled_to, until);
  if (x.pressure < limits::fever_until)
    x.in_fever = false;
}

}  // namespace

metabolic_step advance(sql::metabolism from, std::span<const sql::tokens_of_second> used,
                       double now) {
  metabolic_step out{from, {}};
  auto& x = out.state;
  for (const auto& second : used) {
    rest(x, std::min(now, static_cast<double>(second.second)));
    x.pressure +=
        limits::pressure_per_token * static_cast<double>(second.tokens_in + second.tokens_out);
    if (x.in_fever || x.pressure < limits::fever_at)
      continue;
    x.intensity = x.pressure;
    x.pressure /= 2;
    x.in_fever = true;
    ++x.fevers;
    out.fevers.push_back(
        {x.intensity, std::min(x.intensity * limits::fever_draw, limits::fever_draw_most)});
  }
  rest(x, now);
  return out;
}

double discharge(sql::metabolism& state, double amount) {
  const auto off = std::min(amount, state.pressure);
  state.pressure -= off;
  if (state.pressure < limits::fever_until)
    state.in_fever = false;
  return off;
}

double temperature(uint64_t tokens_in, uint64_t tokens_out) noexcept {
  if (tokens_in == 0)
    return 0;
  if (tokens_out == 0)
    return limits::temperature_most;
  return std::min(limits::temperature_most,
                  static_cast<double>(tokens_in) / static_cast<double>(tokens_out));
}

}  // namespace kgents::actors::void_nodes
