#include "runtime/circuit_breaker.hpp"

namespace kgents::runtime {

bool circuit_breaker::admits(time_point now) noexcept {
  if (state_ == breaker_state::open && now - opened_at_ >= limits_.open_for) {
    state_ = breaker_state::half_open;
    streak_ = 0;
    probing_ = false;
  }
  switch (state_) {
    case breaker_state::closed:
      return true;
    case breaker_state::open:
      return false;
    case breaker_state::half_open:
      return !probing_ && (probing_ = true);
  }
  return false;
}

void circuit_breaker::succeeded() noexcept {
  if (state_ == breaker_state::closed) {
    streak_ = 0;
    return;
  }
  probing_ = false;
  if (state_ == breaker_state::half_open && ++streak_ >= limits_.successes_to_close) {
    state_ = breaker_state::closed;
    streak_ = 0;
  }
}

void circuit_breaker::failed(time_point now) noexcept {
  if (state_ == breaker_state::open)
    return;  // a call that began before it opened: no news
  if (state_ == breaker_state::half_open || ++streak_ >= limits_.failures_to_open)
    open(now);
}

void circuit_breaker::open(time_point now) noexcept {
  state_ = breaker_state::open;
  streak_ = 0;
  probing_ = false;
  opened_at_ = now;
}

}  // namespace kgents::runtime
