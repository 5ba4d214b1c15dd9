#pragma once

#include <functional>
#include <memory>
#include <string>

#include "protocol/ids.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/single_worker.hpp"
#include "sql/metering.hpp"

namespace kgents::metering {

/// What is said to other consumers of one row.
struct announcement {
  uuid lane;  ///< the tenant: its own come in order; nil: no tenant
  std::string subject;
  std::string id;  ///< of the row, the same for every attempt
  std::string payload;
};

/// `billing.usage.<event_type>` or `billing.subscription.<type>`, where a leading `subscription.` of
/// the type is left out: `billing.subscription.started`, `billing.subscription.payment.failed`.
[[nodiscard]] announcement announce(bool usage, const sql::relayed_record& row);

/// Tells the bus of usage and of Stripe's events once they are durable, whether or not they are
/// exported.
///
/// It keeps a mark in PostgreSQL and moves it after the broker has stored what is before it, so
/// nothing is left out; what is told twice, after a crash, has the same id.
///
/// Rounds come from a single_worker on `thread`.
class relay {
public:
  /// `done` is called once, on any thread: whether it is stored.
  using publish = std::function<void(announcement, std::function<void(bool stored)> done)>;

  relay(runtime::io_thread& thread, sql::pool& control, publish tell,
        std::function<void(size_t rows)> relayed);
  ~relay();

  void round(runtime::single_worker::next_round next);

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::metering
