#pragma once

#include <chrono>
#include <cstdint>

namespace kgents::runtime {

/// When to stop calling a dependency that fails, and when to try it again.
struct breaker_limits {
  uint32_t failures_to_open = 5;    ///< consecutive failures, closed -> open
  uint32_t successes_to_close = 3;  ///< consecutive successes, half_open -> closed
  std::chrono::nanoseconds open_for = std::chrono::seconds{30};  ///< open -> half_open after this
};

enum class breaker_state : uint8_t { closed = 0, open = 1, half_open = 2 };  // values: the metric's

/// A circuit breaker: a small state machine in front of one dependency (a broker, a model
/// provider).
///
/// It never calls anything and reads no clock: the owner asks `admits(now)` before a call and
/// reports how the call ended. So the same code runs under an actor, in a unit test and in the
/// simulator.
///
/// Why not a failure *rate* over a window: our dependencies fail all at once (connection lost) or
/// hardly ever, and a count of consecutive failures opens at the fifth call instead of at the end
/// of a window.
///
/// Not thread-safe: owned by one actor.
class circuit_breaker {
public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit circuit_breaker(breaker_limits limits = {}) noexcept : limits_{limits} {}

  /// Whether a call may be made now. In `half_open` one probe is in flight at a time: a `true` here
  /// must be followed by exactly one `succeeded()` or `failed(now)`.
  [[nodiscard]] bool admits(time_point now) noexcept;

  void succeeded() noexcept;
  void failed(time_point now) noexcept;

  [[nodiscard]] breaker_state state() const noexcept { return state_; }

private:
  void open(time_point now) noexcept;

  breaker_limits limits_;
  breaker_state state_ = breaker_state::closed;
  uint32_t streak_ = 0;   // failures while closed, successes while half open
  bool probing_ = false;  // half open: a probe is in flight
  time_point opened_at_{};
};

}  // namespace kgents::runtime
