#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "protocol/ids.hpp"
#include "runtime/io_thread.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime {

/// Work in rounds that one node of the cluster does at a time, under a lease in PostgreSQL.
///
/// The lease keeps two nodes from doing the same work for long; it is no fence. A node that
/// sleeps through its lease may finish a round that another has begun anew, so a round's effects
/// must be idempotent.
class single_worker {
public:
  /// Called once at the end of a round, on the worker's thread: after how long the next is due.
  using next_round = std::function<void(std::chrono::milliseconds)>;
  using round = std::function<void(next_round)>;

  /// A lease's time: a node that dies is replaced after it.
  static constexpr std::chrono::seconds lease_time{10};

  /// `name` is the lease's, `[a-z][a-z0-9_-]*`. `work` is called on `thread`, never twice at once.
  single_worker(io_thread& thread, sql::pool& control, std::string name, round work);
  ~single_worker();
  single_worker(const single_worker&) = delete;
  single_worker& operator=(const single_worker&) = delete;

  /// Any thread, once.
  void start();
  /// Any thread, any number of times; gives the lease up. The round under way, if any, may go on
  /// until it calls `next_round`, which then does nothing.
  void stop();
  /// The same, from any thread but the worker's, and waits until the lease is given up, so that the
  /// next node need not wait for its end: for a shutdown, before the pool stops.
  void stop(std::chrono::milliseconds at_most);
  /// Any thread: the next round is due now, if the lease is held.
  void wake();

  /// Holds the lease, as far as it knows. Any thread.
  [[nodiscard]] bool active() const noexcept;

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime
