#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "actors/billing/stripe_event.hpp"
#include "runtime/io_thread.hpp"
#include "sql/pool.hpp"

namespace kgents::billing {

/// What this process has done with events; shown by the health route.
struct stripe_figures {
  std::atomic<uint64_t> processed{0};  ///< applied
  std::atomic<uint64_t> skipped{0};    ///< duplicates, unknown types, without a customer
  std::atomic<uint64_t> failed{0};     ///< attempts that failed
  std::atomic<uint64_t> known{0};      ///< ids that were put into the ledger
};

/// What a worker counts; called on its thread.
struct stripe_probe {
  std::function<void(std::string_view event_type)> processed = [](auto) {};
  std::function<void()> failed = [] {};
};

/// Applies the ledger's events, one node of the cluster at a time.
///
/// An event is applied in one transaction with its metering event and its mark in the ledger, so a
/// node may die, or lose its lease, at any point: what was not committed is done again by the next.
/// What fails is put off: a minute, 5, 30, two hours, six; then it has failed, which is logged as
/// an error and stays in the ledger until Stripe or an operator sends it again.
class stripe_worker {
public:
  /// `thread` and `control` outlive it.
  stripe_worker(runtime::io_thread& thread, sql::pool& control, tier_of_price tiers,
                stripe_figures& figures, stripe_probe probe = {});
  ~stripe_worker();
  stripe_worker(const stripe_worker&) = delete;
  stripe_worker& operator=(const stripe_worker&) = delete;

  /// Any thread, once.
  void start();
  /// Begins nothing more, and waits that long at most until another node may. From any thread but
  /// the worker's, while `control` works.
  void stop(std::chrono::milliseconds at_most);
  /// Any thread: an event has come. Where another node has the lease it finds it by itself.
  void wake();

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::billing
