#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "runtime/io_thread.hpp"
#include "runtime/port.hpp"
#include "runtime/region.hpp"
#include "sql/agentese_schedule.hpp"
#include "sql/pool.hpp"

namespace kgents::actors {

/// What a scheduler counts; called on its thread.
struct scheduler_probe {
  std::function<void()> ran = [] {};
  std::function<void()> failed = [] {};  ///< the context could not be asked, or did not answer
};

/// Sees to it that what `time.schedule` deferred is run when it is due: looks into the database for
/// tenants with due actions, and asks the context `time` of those that live on this node to run
/// them. One per node.
///
/// It decides nothing: the context claims each action in PostgreSQL before it runs it, so a look
/// too many, of two nodes at once too, does no harm, and one that is missed is made up for half a
/// second later.
class scheduler {
public:
  /// \name What it works with; tests give others.
  /// @{
  struct parts {
    /// Calls back once, on the scheduler's thread; nothing: the database could not be asked.
    std::function<void(std::function<void(std::optional<sql::due_tenants>)>)> look;
    /// Whether the tenant's context lives on this node.
    std::function<bool(tenant_id)> here;
    /// Has the context run one action. Calls back once, on the scheduler's thread: whether it did;
    /// nothing: it could not be asked.
    std::function<void(tenant_id, std::function<void(std::optional<bool>)>)> run;
  };
  /// @}

  /// How often the database is looked into: as late as an action may be that was deferred
  /// without delay. What is known to become due before that is looked for at its time.
  static constexpr std::chrono::milliseconds look_every{500};
  /// Actions of one tenant beside each other: a slow one does not hold up the others.
  static constexpr size_t at_once_per_tenant = 4;
  /// Actions that this node runs at once.
  static constexpr size_t at_once = 64;
  /// Tenants in one look; the others come with the next.
  static constexpr uint32_t tenants_per_look = 1000;

  /// Lives on the thread of `context`.
  scheduler(boost::asio::io_context& context, parts with, scheduler_probe probe = {});
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// From any thread, once.
  void start();
  /// From any thread: asks for nothing more. What was asked for comes to its end.
  void stop();

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

/// Those of a running node. `port` is the one of `thread`; `control` is kg_control's pool. All must
/// outlive what they are asked.
[[nodiscard]] scheduler::parts scheduler_parts(runtime::io_thread& thread, runtime::port& port,
                                               const runtime::region& entities,
                                               sql::transactor& control);

}  // namespace kgents::actors
