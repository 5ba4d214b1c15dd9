#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <memory>

#include "actors/metering/relay.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/metrics.hpp"
#include "sql/pool.hpp"

namespace kgents::metering {

/// What a node does for billing: export to OpenMeter, where that is configured; announcements on
/// the bus, where there is one; reconciliation. Each is done by one node of the cluster at a time,
/// one with the role `meter`.
///
/// Without OpenMeter nothing leaves; usage stays in PostgreSQL and is exported when a provider is
/// configured later.
class meter {
public:
  /// Works on `thread`; `control` is kg_control's pool. `tell` is empty when there is no bus. All
  /// must outlive it.
  meter(const runtime::settings& config, runtime::io_thread& thread, sql::pool& control,
        runtime::metrics& metrics, relay::publish tell = {});
  ~meter();
  meter(const meter&) = delete;
  meter& operator=(const meter&) = delete;

  /// Any thread, once.
  void start();

  /// From any thread but its own: exports what is left, if this node is the one that exports. False
  /// when something was left after that time. For the shutdown, before `stop` and before threads
  /// and pool stop.
  bool flush(std::chrono::milliseconds at_most);

  /// From any thread but its own, any number of times: begins nothing more, gives its leases up and
  /// waits that long for it.
  void stop(std::chrono::milliseconds at_most);

  /// The provider's part of /health/saas: `configured`, `status` (healthy, degraded, unhealthy,
  /// not_started, disabled), `mode` (cloud, local), `error`?, `metrics`?. Any thread, no I/O.
  [[nodiscard]] boost::json::object health() const;

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::metering
