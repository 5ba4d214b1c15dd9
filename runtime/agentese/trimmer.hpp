#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <unordered_map>

#include "protocol/ids.hpp"
#include "runtime/agentese/limits.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime::agentese {

/// What of a log is retained and when that is seen to.
struct retention {
  size_t events = limits::retained_events;
  std::chrono::seconds age = limits::retained_for;
  std::chrono::milliseconds every = limits::trim_every;
  size_t after_marks = limits::trim_after_marks;
};

/// Keeps the tenants' event logs at their bounds. Each node trims those that it writes to; two that
/// trim the same one do no harm.
///
/// One tenant at a time and a few thousand rows a statement, so that nothing else waits for it.
/// Everything on the thread of `context`.
class trimmer : public std::enable_shared_from_this<trimmer> {
public:
  /// `control` must outlive the use of `context`.
  trimmer(boost::asio::io_context& context, sql::transactor& control, retention keep)
      : timer_{context}, control_{control}, keep_{keep} {}

  void grew(tenant_id tenant, size_t marks);
  void stop();

private:
  void arm();
  void round();
  void next();

  boost::asio::steady_timer timer_;
  sql::transactor& control_;
  const retention keep_;
  std::unordered_map<tenant_id, size_t> grown_;  // marks since the log was last trimmed
  std::deque<tenant_id> due_;
  unsigned rounds_ = 0;
  bool armed_ = false;
  bool stopped_ = false;
};

}  // namespace kgents::runtime::agentese
