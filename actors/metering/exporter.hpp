#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/io_thread.hpp"
#include "runtime/settings.hpp"
#include "runtime/single_worker.hpp"
#include "sql/metering.hpp"

namespace kgents::metering {

/// What an exporter counts; called on its thread.
struct exporter_probe {
  std::function<void(std::string_view type)> sent = [](std::string_view) {};
  std::function<void(std::string_view type)> refused = [](std::string_view) {};
  std::function<void(double seconds)> flushed = [](double) {};
  std::function<void()> flush_failed = [] {};
  std::function<void(const sql::metering_backlog&)> backlog = [](const sql::metering_backlog&) {};
};

/// What an exporter asks of the database. Everything calls back once, on the exporter's thread;
/// nothing or false: it could not be asked.
struct exporter_store {
  std::function<void(size_t most, std::function<void(std::optional<sql::metering_batch>)>)> take;
  std::function<void(sql::metering_outcome, std::function<void(bool)>)> settle;
  std::function<void(std::function<void(std::optional<sql::metering_backlog>)>)> backlog;
};

/// Of kg_control's pool.
[[nodiscard]] exporter_store store_of(runtime::io_thread& thread, sql::pool& control);

/// Sends what was not exported to OpenMeter, batch by batch, in the order in which it was recorded.
///
/// Nothing is kept here: rows are taken from PostgreSQL, sent, and stamped after the provider has
/// taken them. What is sent twice – after a crash between the two, a lost answer, by two nodes – has
/// the same ids, and the provider takes it once. A row leaves when all its events have been taken
/// or refused; refused ones lie in quarantine.
///
/// Rounds come from a single_worker, health and backlog are looked after on timers of its own. All
/// on `thread`, but for `health`.
class exporter {
public:
  struct options {
    std::string base_url;
    runtime::secret api_key;
    size_t batch_size = 100;  ///< events in one request
    std::chrono::milliseconds flush_interval{1000};
    std::chrono::milliseconds request_deadline{10'000};
    /// How often the provider is asked whether it is there, with or without anything to send.
    std::chrono::milliseconds look_every{30'000};
    std::chrono::milliseconds look_deadline{5000};
    std::chrono::milliseconds backlog_every{5000};
    /// The pause after a refusal that only an operator can put right; over at once when the
    /// provider is healthy again.
    std::chrono::milliseconds stopped_for{60'000};
  };

  /// `active`: whether this node exports; `wake`: asks for a round now.
  exporter(runtime::io_thread& thread, options with, exporter_store store, exporter_probe probe,
           std::function<bool()> active, std::function<void()> wake);
  ~exporter();
  exporter(const exporter&) = delete;
  exporter& operator=(const exporter&) = delete;

  /// Any thread, once.
  void start();
  /// Any thread: no more timers. A round under way comes to its end.
  void stop();

  /// One batch; on the exporter's thread.
  void round(runtime::single_worker::next_round next);

  /// On the exporter's thread: rounds follow each other at once until one finds nothing left, or
  /// fails; then `done` is called.
  void drain(std::function<void()> done);

  /// `configured`, `status` (healthy, degraded, unhealthy, not_started), `mode`, `error`?,
  /// `metrics`. Any thread, no I/O.
  [[nodiscard]] boost::json::object health() const;

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::metering
