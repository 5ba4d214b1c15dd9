#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <array>

#include "protocol/agentese/pattern.hpp"
#include "protocol/agentese_event.hpp"

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// The subscriptions of a node: `agentese_subscription_*` (agentese.md section 13), and the journal
/// that they are fed from. Any thread.
///
/// The label `pattern` says which form it has – exact, one, any, all –, not its text, which clients
/// make up; `tenant` is one of 64 buckets.
class subscription_metrics {
public:
  explicit subscription_metrics(prometheus::Registry& registry);

  using form = kgents::agentese::pattern::kind;
  enum class cause : uint8_t { buffer_full, max_redelivery };

  /// Takes a lock: once a subscription.
  prometheus::Gauge& active(form pattern, tenant_id tenant);
  prometheus::Counter& delivered(form pattern, agentese_event_type type) noexcept {
    return *delivered_[static_cast<size_t>(pattern)][static_cast<size_t>(type)];
  }
  prometheus::Counter& dropped(form pattern, cause why) noexcept {
    return *dropped_[static_cast<size_t>(pattern)][static_cast<size_t>(why)];
  }
  /// From the event's time to its delivery.
  prometheus::Histogram& lag(form pattern) noexcept {
    return *lag_[static_cast<size_t>(pattern)];
  }

  prometheus::Counter& journal_marks;      ///< committed
  prometheus::Counter& journal_retries;    ///< commits that failed and are tried again
  prometheus::Counter& journal_full;       ///< marks dropped: too many waited
  prometheus::Counter& journal_rejected;   ///< marks dropped: PostgreSQL refused them
  prometheus::Histogram& journal_seconds;  ///< of a commit

private:
  static constexpr size_t forms = 4;

  prometheus::Family<prometheus::Gauge>& active_;
  std::array<std::array<prometheus::Counter*, 4>, forms> delivered_{};
  std::array<std::array<prometheus::Counter*, 2>, forms> dropped_{};
  std::array<prometheus::Histogram*, forms> lag_{};
};

}  // namespace kgents::runtime
