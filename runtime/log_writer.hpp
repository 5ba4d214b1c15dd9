#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/hub.hpp"
#include "runtime/session_log.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime {

enum class durability : uint8_t {
  durable,  ///< an event is shown once it is committed
  memory,   ///< an event is shown at once and written behind
};

/// Sent to the owner of a log: everything it waited for is committed.
struct log_committed {};
/// Sent to the owner of a log: PostgreSQL refused its chunks, since another activation has taken
/// the turn over
/// (`fenced`), or for what they contain.
struct log_refused {
  turn_id turn;
  lease_epoch epoch = 0;
  bool fenced = true;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, log_committed&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, log_refused& x) {
  return f(x.turn, x.epoch, x.fenced);
}

/// What the log writer counts; owned by whoever exports metrics.
struct log_writer_probe {
  std::function<void(size_t rows, double seconds)> committed = [](size_t, double) {};
  std::function<void()> retried = [] {};
  /// These chunks of that session are durable, in order; before the session hears of it. Must not
  /// block.
  std::function<void(const entity_id&, std::span<const event_ptr>)> durable =
      [](const entity_id&, std::span<const event_ptr>) {};
};

/// Commits the chunks of all sessions of a node in groups: what arrives while a commit is under way
/// rides in the next, so under load the batches grow and the number of commits does not.
///
/// A commit that fails is tried again with the same rows until it succeeds (the insert ignores what
/// is there already), so a PostgreSQL that is away delays tokens and loses none; turns meanwhile
/// run out of credit. Sessions of a tenant that is `apart` commit on their own, so its database
/// holds up nobody else.
///
/// Lives on the thread of `context`; `appended` from any thread.
class log_writer {
public:
  log_writer(boost::asio::io_context& context, sql::transactor& pool, hubs& hubs, durability mode,
             log_writer_probe probe);
  ~log_writer();

  /// `log` got new chunks.
  void appended(const log_ptr& log);

  [[nodiscard]] durability mode() const noexcept;

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime
