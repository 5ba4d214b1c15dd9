#include "runtime/telemetry/metrics.hpp"

#include <prometheus/family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;
using buckets = Histogram::BucketBoundaries;

// operations.md section 2: "std".
const buckets standard{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
// Commits and queries take about a millisecond, where the standard ones show nothing.
const buckets fine{0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5};
const buckets model_call{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60};

auto& counters(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
auto& gauges(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
auto& histograms(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

std::string text(std::string_view x) { return std::string{x}; }

double resident_bytes() {
  std::ifstream in{"/proc/self/statm"};
  uint64_t size = 0;
  uint64_t resident = 0;
  in >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

class route_probe::impl {
public:
  impl(Family<Counter>& requests, Histogram& latency, std::string_view method,
       std::string_view endpoint)
      : requests_{requests}, latency_{latency}, method_{method}, endpoint_{endpoint} {
    of(200);  // so that the series exists before the first request
  }

  Counter& of(unsigned status) {
    auto& slot = by_status_[status - least];
    if (auto* known = slot.load(std::memory_order_acquire))
      return *known;
    // Add gives two threads that race here the same child.
    auto& added = requests_.Add(
        {{"method", method_}, {"endpoint", endpoint_}, {"status", std::to_string(status)}});
    slot.store(&added, std::memory_order_release);
    return added;
  }

  void observe(double seconds) { latency_.Observe(seconds); }

  static constexpr unsigned least = 100;
  static constexpr unsigned most = 599;

private:
  Family<Counter>& requests_;
  Histogram& latency_;
  std::string method_;
  std::string endpoint_;
  std::array<std::atomic<Counter*>, most - least + 1> by_status_{};
};

route_probe::route_probe(std::unique_ptr<impl> x) : impl_{std::move(x)} {}
route_probe::~route_probe() = default;

void route_probe::answered(unsigned status) {
  impl_->of(status < impl::least || status > impl::most ? 500 : status).Increment();
}

void route_probe::took(std::chrono::steady_clock::duration latency) {
  impl_->observe(std::chrono::duration<double>(latency).count());
}

class metrics::families {
public:
  Registry registry;

  Family<Counter>& requests = counters(registry, "kgents_api_requests_total", "Requests answered.");
  Family<Histogram>& latency =
      histograms(registry, "kgents_api_request_latency_seconds",
                 "Time until the response was complete; for streams until the first byte.");
  Family<Counter>& rate_limited =
      counters(registry, "kgents_rate_limited_total", "Requests refused by a rate limit.");
  Family<Histogram>& db_query =
      histograms(registry, "kgents_db_query_seconds", "Time of a transaction, queueing included.");
  Family<Gauge>& db_pool =
      gauges(registry, "kgents_db_pool_connections", "Database connections and their queue.");
  Family<Histogram>& llm =
      histograms(registry, "llm_request_duration_seconds", "Time of a whole model call.");
  Family<Gauge>& entities = gauges(registry, "kgents_entities", "Activated entities.");
  Family<Gauge>& mailboxes =
      gauges(registry, "kgents_mailbox_depth", "Messages sent to entities and not yet handled.");
  Family<Counter>& turns = counters(registry, "kgents_turns_total", "Turns ended.");
  Family<Counter>& refused =
      counters(registry, "kgents_admission_refused_total", "Requests refused by a full bound.");
  Family<Counter>& nats_published =
      counters(registry, "kgents_nats_messages_published_total", "Publishes acknowledged.");
  Family<Counter>& openmeter_sent =
      counters(registry, "kgents_openmeter_events_sent_total", "Events the provider accepted.");
  Family<Counter>& stripe_received =
      counters(registry, "kgents_stripe_webhooks_received_total", "Deliveries verified.");
  Family<Counter>& stripe_processed =
      counters(registry, "kgents_stripe_webhooks_processed_total", "Deliveries applied.");
  Family<Counter>& stripe_errors =
      counters(registry, "kgents_stripe_webhooks_errors_total", "Deliveries refused or failed.");
  Family<Gauge>& session_age =
      gauges(registry, "kgents_session_age_seconds", "Age of the oldest session.");

  Gauge& memory =
      gauges(registry, "kgents_memory_bytes", "Resident memory of the process.").Add({});

  std::mutex routes_mutex;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<route_probe>> routes;

  std::mutex render_mutex;
  std::vector<std::function<void()>> refreshers;
};

metrics::metrics(std::string_view version, std::string_view commit)
    : families_{std::make_unique<families>()},
      sse_streams{gauges(families_->registry, "kgents_sse_streams", "Open SSE streams.").Add({})},
      ws_streams{
          gauges(families_->registry, "kgents_ws_streams", "Open WebSocket streams.").Add({})},
      active_session_age{families_->session_age.Add({{"state", "active"}})},
      chunks{counters(families_->registry, "kgents_chunks_total", "Chunks made visible.").Add({})},
      log_commits{
          counters(families_->registry, "kgents_log_commits_total", "Commits of the log writer.")
              .Add({})},
      log_commit_seconds{histograms(families_->registry, "kgents_log_commit_seconds",
                                    "Time of a commit of the log writer.")
                             .Add({}, fine)},
      log_uncommitted_bytes{gauges(families_->registry, "kgents_log_uncommitted_bytes",
                                   "Chunks that wait for their commit.")
                                .Add({})},
      nats_circuit_state{gauges(families_->registry, "kgents_nats_circuit_state",
                                "0 closed, 1 open, 2 half open, -1 unknown.")
                             .Add({})},
      nats_publish_errors{
          counters(families_->registry, "kgents_nats_publish_errors_total", "Failed publishes.")
              .Add({})},
      nats_dropped{counters(families_->registry, "kgents_nats_events_dropped_total",
                            "Events that were never published: too many waited, or too long.")
                       .Add({})},
      nats_fallback_depth{gauges(families_->registry, "kgents_nats_fallback_queue_depth",
                                 "Events that wait in the fallback rings.")
                              .Add({})},
      openmeter_buffered{gauges(families_->registry, "kgents_openmeter_events_buffered",
                                "Usage events not yet exported.")
                             .Add({})},
      openmeter_flush_errors{
          counters(families_->registry, "kgents_openmeter_flush_errors_total", "Failed flushes.")
              .Add({})},
      openmeter_flush_seconds{histograms(families_->registry,
                                         "kgents_openmeter_flush_latency_seconds",
                                         "Time of a flush.")
                                  .Add({}, standard)},
      cluster{families_->registry},
      subscriptions{families_->registry},
      invocations{families_->registry},
      cdc{families_->registry},
      limits{families_->registry},
      redis{families_->registry},
      identity{families_->registry},
      usage{families_->registry},
      metering{families_->registry},
      silos{families_->registry} {
  gauges(families_->registry, "kgents_build_info", "Always 1; what runs is in the labels.")
      .Add({{"version", text(version)}, {"commit", text(commit)}})
      .Set(1);
  nats_circuit_state.Set(-1);
  // A family without children has no sample: these are the label values known beforehand.
  route("GET", "unmatched");
  for (auto state : {"connected", "queued", "in_flight"})
    db_pool(state);
  for (auto status : {"completed", "canceled", "failed"})
    turns(status);
  for (auto tier : {"free", "pro", "enterprise"})
    rate_limited("l1", tier);
  entities("session");
  mailbox_depth("session");
  admission_refused("node");
  db_query("begin_turn");
  llm_request("embedded", "embedded", "ok");
  nats_published("chunk");
  openmeter_sent("usage");
  stripe_received("other");
  stripe_processed("other");
  for (auto type : {"signature", "payload", "storage", "processing"})
    stripe_errors(type);
}

metrics::~metrics() = default;

route_probe& metrics::route(std::string_view method, std::string_view endpoint) {
  std::lock_guard guard{families_->routes_mutex};
  auto& slot = families_->routes[{text(method), text(endpoint)}];
  if (!slot) {
    auto& latency =
        families_->latency.Add({{"method", text(method)}, {"endpoint", text(endpoint)}}, standard);
    slot = std::make_unique<route_probe>(
        std::make_unique<route_probe::impl>(families_->requests, latency, method, endpoint));
  }
  return *slot;
}

Counter& metrics::rate_limited(std::string_view layer, std::string_view tier) {
  return families_->rate_limited.Add({{"layer", text(layer)}, {"tier", text(tier)}});
}
Histogram& metrics::db_query(std::string_view op) {
  return families_->db_query.Add({{"op", text(op)}}, fine);
}
Gauge& metrics::db_pool(std::string_view state) {
  return families_->db_pool.Add({{"state", text(state)}});
}
Histogram& metrics::llm_request(std::string_view provider, std::string_view model,
                                std::string_view outcome) {
  return families_->llm.Add(
      {{"provider", text(provider)}, {"model", text(model)}, {"outcome", text(outcome)}},
      model_call);
}
Gauge& metrics::entities(std::string_view kind) {
  return families_->entities.Add({{"kind", text(kind)}});
}
Gauge& metrics::mailbox_depth(std::string_view kind) {
  return families_->mailboxes.Add({{"kind", text(kind)}});
}
Counter& metrics::turns(std::string_view status) {
  return families_->turns.Add({{"status", text(status)}});
}
Counter& metrics::admission_refused(std::string_view bound) {
  return families_->refused.Add({{"bound", text(bound)}});
}
Counter& metrics::nats_published(std::string_view subject_type) {
  return families_->nats_published.Add({{"subject_type", text(subject_type)}});
}
Counter& metrics::openmeter_sent(std::string_view event_type) {
  return families_->openmeter_sent.Add({{"event_type", text(event_type)}});
}
Counter& metrics::stripe_received(std::string_view event_type) {
  return families_->stripe_received.Add({{"event_type", text(event_type)}});
}
Counter& metrics::stripe_processed(std::string_view event_type) {
  return families_->stripe_processed.Add({{"event_type", text(event_type)}});
}
Counter& metrics::stripe_errors(std::string_view error_type) {
  return families_->stripe_errors.Add({{"error_type", text(error_type)}});
}

void metrics::before_render(std::function<void()> refresh) {
  std::lock_guard guard{families_->render_mutex};
  families_->refreshers.push_back(std::move(refresh));
}

std::string metrics::render() {
  std::lock_guard guard{families_->render_mutex};
  for (const auto& refresh : families_->refreshers)
    refresh();
  families_->memory.Set(resident_bytes());
  std::ostringstream out;
  prometheus::TextSerializer{}.Serialize(out, families_->registry.Collect());
  return std::move(out).str();
}

}  // namespace kgents::runtime
