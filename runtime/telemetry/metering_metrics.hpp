#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// Whether what was used is what will be billed (operations.md section 2). Registered and zero from
/// the start. Any thread.
class metering_metrics {
public:
  explicit metering_metrics(prometheus::Registry& registry);

  /// Seconds since the oldest usage that was not exported; 0 on nodes that do not export, and
  /// while no provider is configured.
  prometheus::Gauge& lag_seconds;
  /// The worst of the last reconciliation: (theirs - ours) / ours.
  prometheus::Gauge& discrepancy_ratio;
  prometheus::Counter& refused;         ///< events in quarantine
  prometheus::Counter& relayed;         ///< rows that the bus has stored
  prometheus::Counter& reconciliations; ///< that came to their end
};

}  // namespace kgents::runtime
