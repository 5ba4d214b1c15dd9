#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "gateway/route.hpp"
#include "runtime/agentese/event_feed.hpp"

/// Subscriptions over HTTP (agentese.md section 13, http-api.md section 12).
namespace kgents::gateway {

/// What a subscriber asked for.
struct subscription_request {
  runtime::agentese::subscription_config config;
  std::shared_ptr<const runtime::agentese::afforded_check> afforded;
  runtime::agentese::begin_where from;
  std::chrono::seconds heartbeat = runtime::agentese::limits::heartbeat_default;
};

/// Answers the call with events as SSE: `subscribed` first, then an event of each type, `gap`,
/// `heartbeat` and, when the node drains, `reconnect`.
void stream_subscription(const call_ptr& c, subscription_request what);

/// Upgrades the call to a WebSocket with the same events as JSON texts, on which the client
/// acknowledges them: `{type: "ack", event_id}`.
void open_subscription_socket(const call_ptr& c, subscription_request what);

/// What a subscription's connection holds and does, whatever it speaks. Lives on the connection's
/// I/O thread; `closed` before it goes.
class subscriber {
public:
  using placed = std::function<void(std::optional<refusal>)>;

  /// Null: the tenant has too many streams, and the call has been refused.
  [[nodiscard]] static std::shared_ptr<subscriber> make(const call_ptr& c,
                                                        subscription_request what,
                                                        prometheus::Gauge& open);

  subscriber(const call_ptr& c, subscription_request what, prometheus::Gauge& open,
             std::shared_ptr<void> permit);
  ~subscriber();

  /// Finds where to begin; `done` is called once, with why it can't.
  void start(placed done);
  /// From here on the exchange is woken whenever there may be something to say.
  void begin();
  void closed();
  void wake();

  [[nodiscard]] runtime::agentese::event_reader& events() noexcept { return *reader_; }
  /// Its credential holds no more, and why.
  [[nodiscard]] const std::optional<end_reason>& ends() const noexcept { return ends_; }
  /// The node drains, or sends this stream to another one.
  [[nodiscard]] bool leaves() const noexcept { return at_.ready.ends(true, lot_); }

  /// The first thing that is said, as members of a JSON object: the subscription's id and what it
  /// was set to. Once.
  [[nodiscard]] std::optional<std::string> greeting();
  /// At the end of a pull: whether a heartbeat is due. `said`: something else was said; `more`:
  /// and there is more.
  [[nodiscard]] bool beats(bool said, bool more);

private:
  node& at_;
  std::shared_ptr<http::exchange> x_;
  runtime::io_thread& thread_;
  std::shared_ptr<runtime::agentese::event_reader> reader_;
  std::shared_ptr<void> permit_;
  std::shared_ptr<void> watch_;
  runtime::gauge_guard open_;
  runtime::wheel_timer beat_;
  const std::chrono::seconds heartbeat_;
  const double lot_;
  bool greeted_ = false;
  bool beat_due_ = false;
  std::optional<end_reason> ends_;
};

/// The members of a heartbeat's JSON object, without braces.
[[nodiscard]] std::string heartbeat_members();

}  // namespace kgents::gateway
