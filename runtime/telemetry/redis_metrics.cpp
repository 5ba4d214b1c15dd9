#include "runtime/telemetry/redis_metrics.hpp"

#include <prometheus/registry.h>

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Registry;

Counter& claims(Registry& registry, const char* state) {
  return prometheus::BuildCounter()
      .Name("kgents_idempotency_claims_total")
      .Help("Claims of idempotency ids by answer: fresh, in_progress, done.")
      .Register(registry)
      .Add({{"state", state}});
}

Gauge& gauge(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

redis_metrics::redis_metrics(Registry& registry)
    : errors{prometheus::BuildCounter()
                 .Name("kgents_redis_errors_total")
                 .Help("Connections to Redis lost or not made, commands refused or late.")
                 .Register(registry)
                 .Add({})},
      connected{gauge(registry, "kgents_redis_connected", "1 while Redis is in use.")},
      entries{gauge(registry, "kgents_idempotency_memory_entries",
                    "Idempotency ids in this node's memory.")},
      fresh{claims(registry, "fresh")},
      in_progress{claims(registry, "in_progress")},
      done{claims(registry, "done")} {}

}  // namespace kgents::runtime
