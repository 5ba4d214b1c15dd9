#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/cdc/relay.hpp"
#include "actors/cdc/service.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/cdc_metrics.hpp"
#include "sql/pool.hpp"

/// The worker that follows the outbox: from changes in PostgreSQL to the vector index and the bus.
namespace kgents::cdc {

struct worker_options {
  runtime::cdc_settings how;           ///< no Qdrant: it only relays
  runtime::provider_settings openai;   ///< for embeddings
  std::optional<publisher> bus;        ///< none: there is no bus
  size_t thread_index = 0;
};

/// In rounds, under the lease `cdc`: claims changes that are due, gives them to the bus and the
/// index, tells the database what became of them; then a page of a rebuild, if one was asked for.
/// Every effect may be repeated. It has a thread of its own, since vectors as JSON take
/// milliseconds to write.
class worker {
public:
  /// `control` is kg_control's pool; both must outlive it. Throws std::invalid_argument when a URL
  /// is none.
  worker(worker_options options, sql::pool& control, runtime::cdc_metrics& metrics);
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Any thread, once.
  void start();
  /// Finishes the batch under way, for at most ten seconds: what has not come to its end by then is
  /// another's when its claim expires, and waits `at_most` until another node may begin. Blocks;
  /// from the thread that started it. Call it while `control` works.
  void stop(std::chrono::milliseconds at_most);
  /// There is something new to do. Any thread.
  void wake();

  /// The tenant's points nearest to a text, as Qdrant lists them. Any thread; `done` comes on the
  /// worker's, unless that has been stopped.
  void search(std::string table, tenant_id tenant, std::string text, size_t most,
              std::function<void(answered)> done);

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace kgents::cdc
