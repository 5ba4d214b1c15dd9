#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/entity.hpp"
#include "protocol/stream_event.hpp"
#include "runtime/circuit_breaker.hpp"
#include "runtime/settings.hpp"

namespace kgents::runtime::bus {

/// One message for JetStream.
struct publication {
  /// Events of one lane and one first token of the subject are published in the order in which they
  /// were handed over: a session, a tenant, a table.
  uuid lane;
  std::string subject;  ///< `agentese.…`, `events.…`, `billing.…`; see subjects.hpp
  std::string id;       ///< `Nats-Msg-Id`: the same for every attempt, so that none counts twice
  std::string payload;  ///< JSON, at most 1,000,000 bytes
  /// Label of the metric: a literal, from a small set.
  std::string_view kind;
  /// Called once, on the bus's thread: true when the broker has stored it, false when it was
  /// dropped. May be empty. Must not block.
  std::function<void(bool stored)> done;
};

/// What the bus counts; owned by whoever exports metrics. Called on the bus's thread, but `dropped`
/// on any.
struct probe {
  std::function<void(std::string_view kind)> published = [](std::string_view) {};
  std::function<void()> failed = [] {};
  std::function<void(size_t events)> dropped = [](size_t) {};
};

struct options {
  std::vector<std::string> servers;  ///< empty: the bus is off
  std::string stream = "kgent-events";
  uint32_t replicas = 1;
  int64_t max_reconnect = -1;  ///< attempts; -1: for ever
  std::string name;            ///< of this client, for the broker's operators
};

[[nodiscard]] options options_of(const settings& config);

enum class status : uint8_t {
  disabled,
  not_started,  ///< until the first attempt to connect has ended
  disconnected,
  circuit_open,
  healthy,
  unhealthy,
};

[[nodiscard]] std::string_view to_string(status x) noexcept;
[[nodiscard]] std::string_view to_string(breaker_state x) noexcept;

/// How the bus is, as its own thread saw it last (events-and-billing.md 2.11).
struct health {
  status now = status::disabled;
  breaker_state circuit = breaker_state::closed;
  uint32_t failures = 0;  ///< consecutive ones
  std::optional<std::chrono::system_clock::time_point> last_failure;
  size_t fallback_events = 0;       ///< that wait to be published
  size_t fallback_lanes = 0;        ///< they belong to so many sessions, tenants …
  size_t unacknowledged = 0;
  std::vector<std::string> servers;  ///< without credentials; empty unless connected
  std::string stream;                ///< likewise

  [[nodiscard]] std::string_view mode() const noexcept {
    return now == status::healthy ? "jetstream" : "fallback";
  }
};

/// Copies of events for other consumers, through NATS JetStream.
///
/// Handing over costs a short lock and never waits, fails or slows anybody: what cannot be
/// published now waits in a bounded ring of its lane, and what does not fit is dropped and counted.
/// Nobody's answer depends on it.
///
/// One message of a lane is under way at a time, and one that failed is tried again before the next
/// with the same id, so a lane's order is the same in the stream whatever happens to the broker.
///
/// Any thread may call any member.
class event_bus {
public:
  explicit event_bus(options with, probe counts = {});
  ~event_bus();
  event_bus(const event_bus&) = delete;
  event_bus& operator=(const event_bus&) = delete;

  /// False: NATS is switched off, and handing over does nothing (`done` hears false at once).
  [[nodiscard]] bool enabled() const noexcept { return impl_ != nullptr; }

  void publish(publication x);

  /// Events of a session that are durable: chunks, or the first or last event of a turn. Encoded on
  /// the bus's thread.
  void session_events(const entity_id& session, std::span<const event_ptr> events);

  /// Costs a short lock, no I/O.
  [[nodiscard]] health look() const;

  /// Publishes what it can within limits::bus_flush and closes the connection. Idempotent.
  void stop();

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime::bus
