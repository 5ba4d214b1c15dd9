#include "runtime/telemetry/subscription_metrics.hpp"

#include <prometheus/registry.h>

#include <string>

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::Registry;

// In the order of pattern::kind.
constexpr const char* form_names[] = {"exact", "one", "any", "all"};
constexpr agentese_event_type types[] = {agentese_event_type::invoked, agentese_event_type::changed,
                                         agentese_event_type::error, agentese_event_type::refused};

// The goal of 10 ms lies within.
const Histogram::BucketBoundaries lag_buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,  0.5,    1,     2.5,  10,    60,   3600};
const Histogram::BucketBoundaries commit_buckets{0.001, 0.0025, 0.005, 0.01, 0.025,
                                                 0.05,  0.1,    0.25,  1,    5};

Counter& journal_counter(Registry& registry, const char* name, const char* help,
                         const prometheus::Labels& labels = {}) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
}

Counter& journal_dropped(Registry& registry, const char* reason) {
  return journal_counter(registry, "agentese_journal_dropped_total",
                         "Invocations that left no mark.", {{"reason", reason}});
}

}  // namespace

subscription_metrics::subscription_metrics(Registry& registry)
    : journal_marks{journal_counter(registry, "agentese_journal_marks_total",
                                    "Marks of invocations that were committed.")},
      journal_retries{journal_counter(registry, "agentese_journal_retries_total",
                                      "Commits of marks that failed and were tried again.")},
      journal_full{journal_dropped(registry, "full")},
      journal_rejected{journal_dropped(registry, "rejected")},
      journal_seconds{prometheus::BuildHistogram()
                          .Name("agentese_journal_commit_seconds")
                          .Help("A commit of marks.")
                          .Register(registry)
                          .Add({}, commit_buckets)},
      active_{prometheus::BuildGauge()
                  .Name("agentese_subscription_active")
                  .Help("Open subscriptions by form of pattern and bucket of tenants.")
                  .Register(registry)} {
  auto& delivered = prometheus::BuildCounter()
                        .Name("agentese_subscription_events_delivered")
                        .Help("Events given to subscribers, redelivered ones too.")
                        .Register(registry);
  auto& dropped = prometheus::BuildCounter()
                      .Name("agentese_subscription_events_dropped")
                      .Help("Events that a subscriber did not get.")
                      .Register(registry);
  auto& lag = prometheus::BuildHistogram()
                  .Name("agentese_subscription_lag_seconds")
                  .Help("From an event's time to its delivery.")
                  .Register(registry);
  for (size_t i = 0; i < forms; ++i) {
    for (const auto type : types)
      delivered_[i][static_cast<size_t>(type)] = &delivered.Add(
          {{"pattern", form_names[i]}, {"event_type", std::string{to_string(type)}}});
    dropped_[i][0] = &dropped.Add({{"pattern", form_names[i]}, {"reason", "buffer_full"}});
    dropped_[i][1] = &dropped.Add({{"pattern", form_names[i]}, {"reason", "max_redelivery"}});
    lag_[i] = &lag.Add({{"pattern", form_names[i]}}, lag_buckets);
  }
}

prometheus::Gauge& subscription_metrics::active(form pattern, tenant_id tenant) {
  const auto bucket = std::hash<tenant_id>{}(tenant) % 64;
  return active_.Add({{"pattern", form_names[static_cast<size_t>(pattern)]},
                      {"tenant", std::to_string(bucket)}});
}

}  // namespace kgents::runtime
