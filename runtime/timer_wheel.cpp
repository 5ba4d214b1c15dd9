#include "runtime/timer_wheel.hpp"

#include <algorithm>
#include <bit>

namespace kgents::runtime {

void wheel_timer::disarm() noexcept {
  if (armed())
    wheel_->unlink(*this);
}

timer_wheel::timer_wheel(clock::time_point now) : origin_{now} {
  for (auto* r : {&fine_, &coarse_})
    for (auto& head : r->heads)
      head.next = head.prev = &head;
}

timer_wheel::~timer_wheel() {
  for (auto* r : {&fine_, &coarse_})
    for (auto& head : r->heads)
      while (head.next != &head)
        unlink(static_cast<wheel_timer&>(*head.next));
}

void timer_wheel::unlink(wheel_timer& x) noexcept {
  x.prev->next = x.next;
  x.next->prev = x.prev;
  x.prev = x.next = nullptr;
  const bool is_fine = (x.due_tick_ & 1) != 0;
  --(is_fine ? fine_ : coarse_).count;
}

void timer_wheel::insert(ring& r, wheel_timer& x, uint64_t due_tick) {
  auto& head = r.heads[due_tick % slots];
  x.wheel_ = this;
  x.due_tick_ = due_tick << 1 | (&r == &fine_ ? 1 : 0);
  x.prev = head.prev;
  x.next = &head;
  x.prev->next = &x;
  head.prev = &x;
  r.used[due_tick % slots / 64] |= uint64_t{1} << (due_tick % 64);
  ++r.count;
}

void timer_wheel::arm(wheel_timer& x, clock::duration delay, clock::time_point now) {
  x.disarm();
  const auto before = on_nearer ? next_due() : clock::time_point::min();
  auto& r = delay < fine_slot * (slots - 2) ? fine_ : coarse_;
  const auto since = now - origin_ + std::max(delay, clock::duration::zero());
  // Rounded up, and at least one slot ahead of what has fired already: late by a slot at most,
  // never early.
  const auto due = static_cast<uint64_t>((since + r.slot - clock::duration{1}) / r.slot);
  insert(r, x, std::max(due, r.tick + 1));
  if (on_nearer && next_due() < before)
    on_nearer();
}

void timer_wheel::advance(clock::time_point now) {
  advance(fine_, now);
  advance(coarse_, now);
}

void timer_wheel::advance(ring& r, clock::time_point now) {
  const auto target = static_cast<uint64_t>((now - origin_) / r.slot);
  while (r.tick < target) {
    if (r.count == 0) {
      r.tick = target;
      return;
    }
    ++r.tick;
    const size_t at = r.tick % slots;
    if ((r.used[at / 64] >> (at % 64) & 1) == 0)
      continue;
    // Moved to a list of its own first: a callback may arm into this very slot for the next round.
    auto& head = r.heads[at];
    timer_link batch;
    batch.next = batch.prev = &batch;
    if (head.next != &head) {
      batch.next = head.next;
      batch.prev = head.prev;
      batch.next->prev = batch.prev->next = &batch;
      head.next = head.prev = &head;
    }
    r.used[at / 64] &= ~(uint64_t{1} << (at % 64));
    while (batch.next != &batch) {
      auto& x = static_cast<wheel_timer&>(*batch.next);
      const auto due = x.due_tick_ >> 1;
      unlink(x);
      if (due > r.tick)
        insert(r, x, due);  // a later round of the ring
      else
        x.fire_();
    }
  }
}

timer_wheel::clock::time_point timer_wheel::next_due(const ring& r) const noexcept {
  if (r.count == 0)
    return clock::time_point::max();
  const uint64_t first = r.tick + 1;
  uint64_t at = first;
  while (at < first + slots) {
    const uint64_t bits = r.used[at % slots / 64] >> (at % 64);
    if (bits != 0) {
      at += static_cast<uint64_t>(std::countr_zero(bits));
      break;
    }
    at += 64 - at % 64;
  }
  return origin_ + r.slot * static_cast<clock::rep>(std::min(at, first + slots));
}

timer_wheel::clock::time_point timer_wheel::next_due() const noexcept {
  return std::min(next_due(fine_), next_due(coarse_));
}

}  // namespace kgents::runtime
