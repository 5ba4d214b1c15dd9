#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/billing/stripe_desk.hpp"
#include "actors/llm/provider_chain.hpp"
#include "actors/logos/capability.hpp"
#include "actors/logos/logos.hpp"
#include "gateway/access.hpp"
#include "gateway/admission.hpp"
#include "gateway/auth.hpp"
#include "gateway/saas_health.hpp"
#include "gateway/stream/live_keys.hpp"
#include "runtime/agentese/event_feed.hpp"
#include "runtime/bus/event_bus.hpp"
#include "runtime/cluster/report.hpp"
#include "runtime/hub.hpp"
#include "runtime/idempotency/store.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/port.hpp"
#include "runtime/region.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/metrics.hpp"
#include "runtime/usage_recorder.hpp"
#include "sql/pool.hpp"

namespace kgents::cdc {
class worker;
}

namespace kgents::runtime {
class silo_worker;
}

namespace kgents::gateway {

/// Whether the database can be used, as last seen; kept by a probe so that /ready costs no round
/// trip.
struct readiness {
  std::atomic<bool> database{false};
  std::atomic<bool> member{false};  ///< of the cluster, and up
  std::atomic<bool> draining{false};    ///< streams end at the next pause between turns
  std::atomic<bool> drain_over{false};  ///< and now in mid-answer too
  /// Of the streams, which part ends now in favour of other nodes: spread over a moment, so that
  /// they do not all come back at once.
  std::atomic<double> sent_away{0};

  /// Whether a stream ends now. `quiet`: it is between two turns; `lot`: its own number from 0 to 1.
  [[nodiscard]] bool ends(bool quiet, double lot) const noexcept {
    return lot < sent_away || (draining && (drain_over || quiet));
  }
};

/// What the operator's routes ask of the cluster. Any thread.
struct cluster_control {
  /// As this node sees it now; waits for nothing.
  std::function<runtime::cluster::cluster_report()> report;
  /// Asks the node of that name to leave. `done` comes on any thread, with why not; 404 when no
  /// living node has the name.
  std::function<void(std::string name, std::function<void(std::optional<refusal>)> done)> drain;
};

/// What the operator's routes ask of the outbox and the vector index.
struct cdc_control {
  sql::pool& control;             ///< kg_control's
  kgents::cdc::worker* worker = nullptr;  ///< none on this node
};

/// What the operator's routes ask of tenants' own databases.
struct silo_control {
  sql::pool& control;  ///< kg_control's, of the shared database
  runtime::silo_worker* worker;
};

/// What route handlers work with: the parts of the running node. Outlives every connection.
struct node {
  const runtime::settings& config;
  runtime::metrics& metrics;
  runtime::io_threads& threads;
  runtime::hubs& hubs;
  runtime::ports& ports;
  sql::transactor& pool;  ///< kg_app's: a tenant's transaction goes to where its data lives
  authenticator& auth;
  admission& limits;
  readiness& ready;
  live_keys& streams;
  access_watch& access;  ///< tell it when somebody's rights were changed
  const cluster_control& cluster;
  const actors::logos& logos;
  const actors::capability_authority& capabilities;
  runtime::agentese::journal& journal;
  runtime::agentese::event_feed& events;
  /// Shared, since a request may be dropped when the node is gone.
  const std::shared_ptr<runtime::idempotency::store>& idempotency;
  const saas_parts& saas;
  runtime::bus::event_bus& bus;
  runtime::usage_recorder& usage;
  const cdc_control& cdc;
  billing::stripe_desk& stripe;
  const silo_control& silos;
};

}  // namespace kgents::gateway
