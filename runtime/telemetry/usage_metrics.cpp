#include "runtime/telemetry/usage_metrics.hpp"

#include <prometheus/registry.h>

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Registry;

Counter& counter(Registry& registry, const char* name, const char* help,
                 const prometheus::Labels& labels = {}) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
}

Counter& dropped(Registry& registry, const char* reason) {
  return counter(registry, "kgents_usage_events_dropped_total",
                 "Requests that are in no usage event.", {{"reason", reason}});
}

}  // namespace

usage_metrics::usage_metrics(Registry& registry)
    : requests{counter(registry, "kgents_usage_requests_total",
                       "Authenticated requests written as usage.")},
      retries{counter(registry, "kgents_usage_retries_total",
                      "Commits of counted requests that failed and were tried again.")},
      dropped_full{dropped(registry, "full")},
      dropped_rejected{dropped(registry, "rejected")},
      refused{counter(registry, "kgents_usage_refused_total",
                      "Invocations refused because what they cost could not be written.")},
      waiting{prometheus::BuildGauge()
                  .Name("kgents_usage_waiting")
                  .Help("Groups of counted requests that are not written yet.")
                  .Register(registry)
                  .Add({})},
      thresholds{counter(registry, "kgents_usage_thresholds_total",
                         "Parts of a month's tokens that tenants came to.")} {}

}  // namespace kgents::runtime
