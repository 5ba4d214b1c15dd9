#define CAF_SUITE timer_wheel

#include "runtime/timer_wheel.hpp"

#include <vector>

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using kgents::runtime::timer_wheel;
using kgents::runtime::wheel_timer;

namespace {

struct fixture {
  timer_wheel::clock::time_point now{};
  timer_wheel wheel{now};

  // As the owning thread does: sleeps until next_due, never past `until`.
  void run(timer_wheel::clock::duration until) {
    const auto end = now + until;
    while (wheel.next_due() <= end) {
      now = std::max(now, wheel.next_due());
      wheel.advance(now);
    }
    now = end;
    wheel.advance(now);
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(timer_wheel_tests, fixture)

CAF_TEST(a timer fires once and never early and at most one slot late) {
  for (auto delay : {0ms, 1ms, 7ms, 999ms, 1500ms, 30000ms, 300000ms}) {
    const auto armed_at = now;
    int fired = 0;
    timer_wheel::clock::duration after{};
    wheel_timer x{[&] {
      ++fired;
      after = now - armed_at;
    }};
    wheel.arm(x, delay, now);
    run(delay + 300ms);
    CAF_CHECK_EQUAL(fired, 1);
    CAF_CHECK(after >= delay);
    CAF_CHECK(after <= delay + 129ms);
    CAF_CHECK_EQUAL(wheel.armed(), 0u);
  }
}

CAF_TEST(a disarmed or destroyed timer does not fire) {
  int fired = 0;
  {
    wheel_timer gone{[&] { ++fired; }};
    wheel.arm(gone, 5ms, now);
  }
  wheel_timer x{[&] { ++fired; }};
  wheel.arm(x, 5ms, now);
  x.disarm();
  run(1s);
  CAF_CHECK_EQUAL(fired, 0);
  CAF_CHECK_EQUAL(wheel.armed(), 0u);
}

CAF_TEST(a callback may arm itself again and destroy its neighbours) {
  int beats = 0;
  auto victim = std::make_unique<wheel_timer>([] { CAF_FAIL("destroyed before its time"); });
  wheel_timer beat;
  beat.on_fire([&] {
    victim.reset();
    if (++beats < 10)
      wheel.arm(beat, 20ms, now);
  });
  wheel.arm(beat, 20ms, now);
  wheel.arm(*victim, 20ms, now);
  run(1s);
  CAF_CHECK_EQUAL(beats, 10);
}

CAF_TEST(an owner that was stopped for minutes catches up) {
  int fired = 0;
  std::vector<std::unique_ptr<wheel_timer>> all;
  for (int i = 0; i < 5000; ++i) {
    all.push_back(std::make_unique<wheel_timer>([&] { ++fired; }));
    wheel.arm(*all.back(), std::chrono::milliseconds{i * 20}, now);
  }
  now += 10min;
  wheel.advance(now);
  CAF_CHECK_EQUAL(fired, 5000);
}

CAF_TEST_FIXTURE_SCOPE_END()
