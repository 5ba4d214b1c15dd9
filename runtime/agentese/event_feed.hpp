#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/agentese/event_hub.hpp"
#include "runtime/agentese/event_reader.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/telemetry/subscription_metrics.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime::agentese {

/// One of a tenant's subscriptions on this node, as listed.
struct listed_subscription {
  std::string id;
  std::string pattern;
  delivery_mode delivery = delivery_mode::at_most_once;
  uint32_t buffer_size = 0;
  size_t pending = 0;
};

/// Reads the event logs of the tenants that have subscribers on this node, and hands each page to
/// the I/O threads that have some. Other tenants cost it nothing.
///
/// A log is read when it is known to have grown: by a commit of this node's journal, by another
/// node's word (NOTIFY), or by a look every second, for what nobody tells. All subscribers of a
/// tenant share one read and its events.
///
/// Works on the thread of `context`, which the pools are on.
class event_feed {
public:
  struct options {
    /// libpq URL of a role that may connect, straight to PostgreSQL; empty: no other node writes.
    std::string listen_url;
    std::chrono::milliseconds poll = limits::feed_poll;
  };

  /// `app` (kg_app) reads the logs, `control` (kg_control) asks where they end; both outlive this.
  event_feed(boost::asio::io_context& context, sql::transactor& app, sql::transactor& control,
             const std::vector<io_thread*>& threads, subscription_metrics& metrics, options how);
  ~event_feed();
  event_feed(const event_feed&) = delete;
  event_feed& operator=(const event_feed&) = delete;

  /// What a reader on that thread is made of.
  [[nodiscard]] event_reader::parts parts_for(size_t thread);

  /// The id that clients name a subscription by: it tells the node and the thread. For a reader
  /// that has started.
  [[nodiscard]] std::string id_of(const event_reader& reader, size_t thread) const;

  /// These logs have grown up to that seq. On the context's thread.
  void grown(const std::vector<std::pair<tenant_id, int64_t>>& logs);

  /// From any thread: every reader is told to look, as at a drain.
  void wake_all();

  /// Ends listening and looking; from any thread, before the pools stop.
  void stop();

  /// From any thread; `done` is called on one of the I/O threads.
  void list(tenant_id tenant, std::function<void(std::vector<listed_subscription>)> done);
  /// `done` is called on one of the I/O threads: none when the tenant has no such subscription on
  /// this node, else whether the event waited to be acknowledged.
  void acknowledge(tenant_id tenant, std::string_view subscription, const uuid& event,
                   std::function<void(std::optional<bool>)> done);

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime::agentese
