#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "runtime/agentese/subscription.hpp"
#include "runtime/telemetry/metrics.hpp"
#include "runtime/telemetry/subscription_metrics.hpp"
#include "runtime/timer_wheel.hpp"
#include "sql/agentese_events.hpp"
#include "sql/query.hpp"

namespace kgents::runtime::agentese {

class event_hub;

/// Where a subscription begins.
struct begin_live {};
struct begin_behind_event {
  uuid event;
};
struct begin_at_time {
  std::chrono::system_clock::time_point time;
};
struct begin_behind_seq {
  int64_t seq = 0;
};
using begin_where =
    std::variant<begin_live, begin_behind_event, begin_at_time, begin_behind_seq>;

/// One open subscription, whatever carries it on (SSE, WebSocket): takes the live events from its
/// thread's hub, and those of before from PostgreSQL.
///
/// A replay reads page after page, as fast as its reader takes them, until it has reached what the
/// hub has given out; from there on it takes the hub's events. So what it hears has no hole and no
/// double, and a long replay drops nothing.
///
/// Lives on one I/O thread; owned by shared_ptr, since answers of PostgreSQL may come after its
/// stream has ended.
class event_reader : public std::enable_shared_from_this<event_reader> {
public:
  struct parts {
    event_hub& hub;
    sql::transactor& app;
    subscription_metrics& metrics;
  };

  event_reader(const parts& with, tenant_id tenant, subscription_config config,
               std::shared_ptr<const afforded_check> afforded, begin_where from);
  ~event_reader();
  event_reader(const event_reader&) = delete;
  event_reader& operator=(const event_reader&) = delete;

  /// There may be something to take; never called inside `next`.
  std::function<void()> on_ready = [] {};

  /// Once: `placed` says whether PostgreSQL could be asked where to begin.
  void start(std::function<void(bool)> placed);
  /// No more events; the stream is closing.
  void stop();

  [[nodiscard]] std::optional<subscription::delivery> next();
  bool acknowledge(const uuid& event);

  [[nodiscard]] tenant_id tenant() const noexcept { return tenant_; }
  [[nodiscard]] uint64_t number() const noexcept { return number_; }
  [[nodiscard]] const subscription_config& config() const noexcept { return machine_.config(); }
  [[nodiscard]] size_t pending() const noexcept { return machine_.pending(); }

  /// \name From the hub.
  /// @{
  void begun(int64_t seq);
  void failed();
  void live_events(const std::vector<event_ptr>& events);
  /// @}

private:
  enum class stage : uint8_t { idle, joining, locating, replaying, live, stopped };

  void locate();
  void located(const sql::agentese_replay_start& at);
  void place(bool good);
  void fill();
  void read_page();
  void offer(const event_ptr& x);
  void redeliver();
  template <class T, class F>
  void ask(sql::query<T> what, F done);

  event_hub& hub_;
  sql::transactor& app_;
  subscription_metrics& metrics_;
  const tenant_id tenant_;
  subscription machine_;
  /// Only until it is live.
  struct replay {
    begin_where from;
    std::function<void(bool)> placed;
    std::vector<event_ptr> page;
    size_t at = 0;  // of the page, next to be offered
    bool reading = false;
    wheel_timer retry;
  };
  std::unique_ptr<replay> replay_;
  wheel_timer again_;
  std::optional<gauge_guard> active_;
  uint64_t number_ = 0;
  stage stage_ = stage::idle;
};

}  // namespace kgents::runtime::agentese
