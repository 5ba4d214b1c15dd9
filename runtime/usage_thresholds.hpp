#pragma once

#include <functional>
#include <memory>

#include "runtime/single_worker.hpp"
#include "sql/usage_thresholds.hpp"

namespace kgents::runtime {

/// Tells once when a tenant has used up 50, 80 and 100 % of its month's tokens (events-and-billing.md
/// 8.4). One node of the cluster looks, every ten seconds; what was told of is written down, so a
/// restart tells it again only when it died in between, with the same id.
class usage_thresholds {
public:
  static constexpr auto look_every = std::chrono::milliseconds{10'000};
  static constexpr auto deadline = std::chrono::milliseconds{5000};
  static constexpr uint32_t most_at_once = 200;

  /// Tells one; `done(true)` once it is told, else it is told again in a later round. On `thread`;
  /// `done` from any.
  using tell = std::function<void(const sql::crossed_threshold&, std::function<void(bool)> done)>;

  /// `control` is the pool of kg_control, on `thread`; both outlive this.
  usage_thresholds(io_thread& thread, sql::pool& control, tell how);

  void start() { worker_.start(); }
  /// From any thread but `thread`; waits that long at most until another node may look.
  void stop(std::chrono::milliseconds at_most) { worker_.stop(at_most); }

private:
  single_worker worker_;
};

}  // namespace kgents::runtime
