#include "runtime/telemetry/limits_metrics.hpp"

#include <prometheus/family.h>
#include <prometheus/registry.h>

namespace kgents::runtime {

namespace {

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help,
                             const prometheus::Labels& labels = {}) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
}

constexpr auto asked = "kgents_limits_asked_total";
constexpr auto asked_help = "Questions for a block of permits, by what they permit.";

}  // namespace

limits_metrics::limits_metrics(prometheus::Registry& registry)
    : traffic_asked{counter(registry, asked, asked_help, {{"of", "traffic"}})},
      operations_asked{counter(registry, asked, asked_help, {{"of", "operations"}})},
      traffic_alone{counter(registry, "kgents_limits_alone_total",
                            "Times that the home of a tenant's traffic could not be reached.")} {}

}  // namespace kgents::runtime
