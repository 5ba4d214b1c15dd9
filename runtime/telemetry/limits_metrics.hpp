#pragma once

#include <prometheus/counter.h>

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// How limits are counted across nodes; what they refuse is in kgents_rate_limited_total. Zero from
/// the start. Any thread.
struct limits_metrics {
  explicit limits_metrics(prometheus::Registry& registry);

  /// kgents_limits_asked_total{of}: questions for a block of permits.
  prometheus::Counter& traffic_asked;     ///< to the home of a tenant's traffic
  prometheus::Counter& operations_asked;  ///< to PostgreSQL
  /// kgents_limits_alone_total: the home did not answer; this node let in its part of the limit.
  prometheus::Counter& traffic_alone;
};

}  // namespace kgents::runtime
