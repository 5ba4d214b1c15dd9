#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sql/agentese_metabolism.hpp"

/// The pressure that tokens build up, and the fever that lets it off (agentese.md section 8.4).
/// Pure: times come in.
namespace kgents::actors::void_nodes {

/// A fever that broke out on the way.
struct fever_onset {
  double intensity = 0;  ///< the pressure it broke out at
  double draw = 0;       ///< of entropy
};

struct metabolic_step {
  sql::metabolism state;
  std::vector<fever_onset> fevers;
};

/// Brings a state from its time to `now` (seconds since 1970) through what was used in between, in
/// the order of time. A tick is a second.
[[nodiscard]] metabolic_step advance(sql::metabolism from,
                                     std::span<const sql::tokens_of_second> used, double now);

/// Lets pressure off; a fever ends with it when it falls low enough. How much was let off.
double discharge(sql::metabolism& state, double amount);

/// How much more went in than came out, at most 2; 0 when nothing went in.
[[nodiscard]] double temperature(uint64_t tokens_in, uint64_t tokens_out) noexcept;

}  // namespace kgents::actors::void_nodes
