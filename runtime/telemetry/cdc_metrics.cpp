#include "runtime/telemetry/cdc_metrics.hpp"

#include <prometheus/registry.h>

namespace kgents::runtime {

namespace {

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

// In the order of breaker_state.
constexpr const char* state_names[] = {"closed", "open", "half_open"};

}  // namespace

cdc_metrics::cdc_metrics(prometheus::Registry& registry)
    : processed{counter(registry, "synapse_events_processed_total",
                        "Changes that the index and the bus have.")},
      failed{counter(registry, "synapse_events_failed_total",
                     "Changes that went to the dead letters.")},
      retried{counter(registry, "synapse_events_retried_total",
                      "Attempts at changes that failed and are made again.")},
      dead{gauge(registry, "synapse_dlq_size", "Dead letters.")},
      pending{gauge(registry, "kgents_cdc_pending_events",
                    "Changes not processed yet; counted up to 100,000.")},
      lag{gauge(registry, "synapse_sync_lag_ms",
                "From a change to its acknowledgement: the last one.")},
      lag_most{gauge(registry, "synapse_sync_lag_max_ms", "The most of the last 100.")},
      lag_average{gauge(registry, "synapse_avg_lag_ms", "The average of the last 100.")} {
  auto& states = prometheus::BuildGauge()
                     .Name("synapse_circuit_state")
                     .Help("1 for the state that the breaker of the vector index is in.")
                     .Register(registry);
  for (size_t i = 0; i < circuit_.size(); ++i)
    circuit_[i] = &states.Add({{"state", state_names[i]}});
  circuit(breaker_state::closed);
}

void cdc_metrics::circuit(breaker_state x) {
  for (size_t i = 0; i < circuit_.size(); ++i)
    circuit_[i]->Set(static_cast<size_t>(x) == i ? 1 : 0);
}

}  // namespace kgents::runtime
