#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <array>

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// Tenants' own databases: `kgents_silo_*`. The states are told by the one node that counts them,
/// by the others as 0. Any thread.
struct silo_metrics {
  explicit silo_metrics(prometheus::Registry& registry);

  std::array<prometheus::Gauge*, 7> states;  ///< by sql::silo_state
  prometheus::Counter& copied_rows;
  prometheus::Counter& steps;   ///< that went well
  prometheus::Counter& failed;  ///< steps that did not, also those tried again
};

}  // namespace kgents::runtime
