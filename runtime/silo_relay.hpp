#pragma once

#include <memory>

#include "runtime/single_worker.hpp"

namespace kgents::runtime {

/// Keeps the silos and the shared database in step, on one node of the cluster: usage that a silo
/// has counted is taken over into the shared database, where it is metered and billed; who the
/// tenant's users and keys are, and what they may use, is told to the silo.
///
/// Both may be repeated at any point. Usage is kept once by its id and is marked in the silo only
/// after that, so it is neither lost nor doubled, whatever dies in between. Each silo is on its own
/// way: one that is out of reach holds up no other.
class silo_relay {
public:
  static constexpr std::chrono::milliseconds look_every{500};
  /// A key that was revoked ends what it has scheduled in a silo within this; requests see it at
  /// once.
  static constexpr std::chrono::seconds mirror_every{15};
  static constexpr uint32_t events_at_once = 500;
  static constexpr std::chrono::seconds deadline{5};

  /// `app` and `control` lead to where a tenant's data is; `shared` is the shared database's.
  silo_relay(io_thread& thread, sql::transactor& app, sql::transactor& control, sql::pool& shared);

  /// As `single_worker`.
  void start() { worker_.start(); }
  void stop(std::chrono::milliseconds at_most) { worker_.stop(at_most); }

private:
  class impl;
  std::shared_ptr<impl> impl_;
  single_worker worker_;
};

}  // namespace kgents::runtime
