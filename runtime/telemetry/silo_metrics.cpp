#include "runtime/telemetry/silo_metrics.hpp"

#include <prometheus/registry.h>

#include <string>

#include "sql/silo_plan.hpp"

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Registry;

std::array<Gauge*, 7> by_state(Registry& registry) {
  auto& family = prometheus::BuildGauge()
                     .Name("kgents_silo_state")
                     .Help("Silos by state, as counted by one node of the cluster.")
                     .Register(registry);
  std::array<Gauge*, 7> out{};
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = &family.Add({{"state", std::string{to_string(static_cast<sql::silo_state>(i))}}});
  return out;
}

Counter& steps_that(Registry& registry, const char* outcome) {
  return prometheus::BuildCounter()
      .Name("kgents_silo_steps_total")
      .Help("Steps of provisioning and moving, by outcome.")
      .Register(registry)
      .Add({{"outcome", outcome}});
}

}  // namespace

silo_metrics::silo_metrics(Registry& registry)
    : states{by_state(registry)},
      copied_rows{prometheus::BuildCounter()
                      .Name("kgents_silo_copied_rows_total")
                      .Help("Rows that were copied into silos.")
                      .Register(registry)
                      .Add({})},
      steps{steps_that(registry, "done")},
      failed{steps_that(registry, "failed")} {}

}  // namespace kgents::runtime
