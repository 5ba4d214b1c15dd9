#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// The idempotency store of a node: `kgents_redis_*` and `kgents_idempotency_*`. Any thread.
struct redis_metrics {
  explicit redis_metrics(prometheus::Registry& registry);

  prometheus::Counter& errors;     ///< connections lost or not made, commands refused or late
  prometheus::Gauge& connected;    ///< 1 or 0
  prometheus::Gauge& entries;      ///< ids in memory
  prometheus::Counter& fresh;      ///< claims by how they were answered
  prometheus::Counter& in_progress;
  prometheus::Counter& done;
};

}  // namespace kgents::runtime
