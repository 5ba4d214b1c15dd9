#pragma once

#include <chrono>
#include <memory>

#include "runtime/io_thread.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/silo_metrics.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime {

/// Makes silos and moves tenants into them (sql/silo_plan.hpp), on one node of the cluster at a
/// time, among those that have DATABASE_ADMIN_URL. The steps block; they have a thread of their own.
///
/// Every node takes part in one thing more: giving a tenant its writes back when the node that
/// copied its rows is gone and no other can go on.
class silo_worker {
public:
  static constexpr auto look_every = std::chrono::milliseconds{1000};
  static constexpr auto watch_every = std::chrono::milliseconds{10'000};
  /// A move whose worker is gone is taken back after so long; another's worker is quicker.
  static constexpr auto stale_after = std::chrono::seconds{60};

  /// `control` is the pool of kg_control in the shared database; all outlive this.
  silo_worker(const settings& config, io_thread& thread, sql::pool& control,
              silo_metrics& metrics);
  ~silo_worker();
  silo_worker(const silo_worker&) = delete;
  silo_worker& operator=(const silo_worker&) = delete;

  void start();
  /// Any thread: something was asked for.
  void wake();
  /// Ends what is under way, which another node or the next start goes on with; waits for its
  /// thread, which waits for no server longer than it takes to give up connecting.
  void stop(std::chrono::milliseconds for_leases);

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace kgents::runtime
