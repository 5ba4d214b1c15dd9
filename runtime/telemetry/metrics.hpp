#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/telemetry/cdc_metrics.hpp"
#include "runtime/telemetry/cluster_metrics.hpp"
#include "runtime/telemetry/identity_metrics.hpp"
#include "runtime/telemetry/invocation_metrics.hpp"
#include "runtime/telemetry/limits_metrics.hpp"
#include "runtime/telemetry/metering_metrics.hpp"
#include "runtime/telemetry/redis_metrics.hpp"
#include "runtime/telemetry/silo_metrics.hpp"
#include "runtime/telemetry/subscription_metrics.hpp"
#include "runtime/telemetry/usage_metrics.hpp"

namespace kgents::runtime {

/// Counts the requests of one method and route template. Resolved once a route, at start, so that
/// counting a request takes no lock but the histogram's.
class route_probe {
public:
  class impl;
  explicit route_probe(std::unique_ptr<impl> x);
  ~route_probe();
  route_probe(const route_probe&) = delete;
  route_probe& operator=(const route_probe&) = delete;

  /// kgents_api_requests_total. A status outside 100–599 counts as 500. Any thread.
  void answered(unsigned status);
  /// kgents_api_request_latency_seconds: until the response is complete, for a stream until its
  /// first byte.
  void took(std::chrono::steady_clock::duration latency);

private:
  std::unique_ptr<impl> impl_;
};

/// Adds one to a gauge for as long as it lives: a stream, a running something. Any thread.
class gauge_guard {
public:
  explicit gauge_guard(prometheus::Gauge& gauge) : gauge_{&gauge} { gauge_->Increment(); }
  ~gauge_guard() {
    if (gauge_ != nullptr)
      gauge_->Decrement();
  }
  gauge_guard(gauge_guard&& other) noexcept : gauge_{std::exchange(other.gauge_, nullptr)} {}
  gauge_guard& operator=(gauge_guard&&) = delete;

private:
  prometheus::Gauge* gauge_;
};

/// Every metric of the server (operations.md section 2), registered and zero from the start.
///
/// The members are the children that hot paths touch: atomics, any thread. The functions look a
/// child up under a lock; call them once and keep the reference, which lives as long as this
/// object. Label values come from closed sets: never a tenant, a session or what a client sent.
class metrics {
  // Declared first, since the members below are made from it.
  class families;
  std::unique_ptr<families> families_;

public:
  metrics(std::string_view version, std::string_view commit);
  ~metrics();
  metrics(const metrics&) = delete;
  metrics& operator=(const metrics&) = delete;

  /// `endpoint` is a route template, or `unmatched`.
  route_probe& route(std::string_view method, std::string_view endpoint);
  /// layer: l1, l2, l3, l5, share, streams, turns; tier: free, pro, …; anonymous of l5.
  prometheus::Counter& rate_limited(std::string_view layer, std::string_view tier);
  /// op: the name of a repository's query.
  prometheus::Histogram& db_query(std::string_view op);
  /// state: connected, queued, in_flight (the members of sql::pool_stats).
  prometheus::Gauge& db_pool(std::string_view state);
  /// outcome: `ok`, `canceled`, or an error type of design.md section 10.
  prometheus::Histogram& llm_request(std::string_view provider, std::string_view model,
                                     std::string_view outcome);
  /// kind: tenant, session, world, …
  prometheus::Gauge& entities(std::string_view kind);
  prometheus::Gauge& mailbox_depth(std::string_view kind);
  /// status: completed, canceled, failed.
  prometheus::Counter& turns(std::string_view status);
  /// bound: what was full – entity, node, session_queue, connections, sql, log.
  prometheus::Counter& admission_refused(std::string_view bound);
  /// subject_type: `chunk` or an event type.
  prometheus::Counter& nats_published(std::string_view subject_type);
  prometheus::Counter& openmeter_sent(std::string_view event_type);
  prometheus::Counter& stripe_received(std::string_view event_type);
  prometheus::Counter& stripe_processed(std::string_view event_type);
  /// error_type: signature, payload, storage, processing.
  prometheus::Counter& stripe_errors(std::string_view error_type);

  prometheus::Gauge& sse_streams;
  prometheus::Gauge& ws_streams;
  prometheus::Gauge& active_session_age;  ///< seconds, the oldest session with a running turn
  prometheus::Counter& chunks;
  prometheus::Counter& log_commits;
  prometheus::Histogram& log_commit_seconds;
  prometheus::Gauge& log_uncommitted_bytes;
  prometheus::Gauge& nats_circuit_state;  ///< a breaker_state's value; -1 until there is a bus
  prometheus::Counter& nats_publish_errors;
  prometheus::Counter& nats_dropped;
  prometheus::Gauge& nats_fallback_depth;
  prometheus::Gauge& openmeter_buffered;
  prometheus::Counter& openmeter_flush_errors;
  prometheus::Histogram& openmeter_flush_seconds;
  cluster_metrics cluster;
  subscription_metrics subscriptions;
  invocation_metrics invocations;
  cdc_metrics cdc;
  limits_metrics limits;
  redis_metrics redis;
  identity_metrics identity;
  usage_metrics usage;
  metering_metrics metering;
  silo_metrics silos;

  /// `refresh` runs at the start of every `render`, on its thread: for what is read rather than
  /// counted (depths, pool states). It must not wait for anything.
  void before_render(std::function<void()> refresh);

  /// Text exposition 0.0.4. No I/O but /proc/self; any thread, one at a time.
  [[nodiscard]] std::string render();
};

}  // namespace kgents::runtime
