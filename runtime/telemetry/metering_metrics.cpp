#include "runtime/telemetry/metering_metrics.hpp"

#include <prometheus/registry.h>

namespace kgents::runtime {

namespace {

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

metering_metrics::metering_metrics(prometheus::Registry& registry)
    : lag_seconds{gauge(registry, "kgents_metering_lag_seconds",
                        "Age of the oldest usage that was not exported.")},
      discrepancy_ratio{gauge(registry, "kgents_usage_discrepancy_ratio",
                              "The worst difference between usage and what was metered.")},
      refused{counter(registry, "kgents_openmeter_events_refused_total",
                      "Events that the provider refused for what they are.")},
      relayed{counter(registry, "kgents_usage_relayed_total",
                      "Usage and billing events that the bus has stored.")},
      reconciliations{counter(registry, "kgents_usage_reconciliations_total",
                              "Reconciliations that came to their end.")} {}

}  // namespace kgents::runtime
