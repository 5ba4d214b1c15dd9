#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// Usage on its way to PostgreSQL. Any thread.
class usage_metrics {
public:
  explicit usage_metrics(prometheus::Registry& registry);

  prometheus::Counter& requests;          ///< authenticated ones that were written
  prometheus::Counter& retries;           ///< commits that failed and are tried again
  prometheus::Counter& dropped_full;      ///< requests not counted: too many kinds waited
  prometheus::Counter& dropped_rejected;  ///< … PostgreSQL refused them
  prometheus::Counter& refused;           ///< invocations refused: their bill could not be written
  prometheus::Gauge& waiting;             ///< groups of requests not yet written
  prometheus::Counter& thresholds;        ///< parts of a month's tokens that tenants came to
};

}  // namespace kgents::runtime
