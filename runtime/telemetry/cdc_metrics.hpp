#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <array>

#include "runtime/circuit_breaker.hpp"

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// The worker that follows the outbox: `synapse_*` and `kgents_cdc_pending_events` (operations.md
/// section 2). Gauges are as this node last saw them while it did the work. Any thread.
class cdc_metrics {
public:
  explicit cdc_metrics(prometheus::Registry& registry);

  prometheus::Counter& processed;
  prometheus::Counter& failed;   ///< into the dead letters
  prometheus::Counter& retried;  ///< attempts after which another is due
  prometheus::Gauge& dead;
  prometheus::Gauge& pending;
  prometheus::Gauge& lag;  ///< milliseconds from change to acknowledgement: the last,
  prometheus::Gauge& lag_most;  ///< the most of the last 100
  prometheus::Gauge& lag_average;

  void circuit(breaker_state x);

private:
  std::array<prometheus::Gauge*, 3> circuit_{};
};

}  // namespace kgents::runtime
