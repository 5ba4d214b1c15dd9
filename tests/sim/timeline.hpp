#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// Time and chance of a simulated run: everything in it follows from one seed.
namespace kgents::sim {

using sim_time = std::chrono::microseconds;
using namespace std::chrono_literals;

/// A promise of the cluster was broken.
struct violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine, unlike the
/// distributions of <random>.
class dice {
public:
  explicit dice(uint64_t seed) : state_{seed} {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    auto x = state_;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }

  /// From 0 to `end` - 1.
  uint64_t below(uint64_t end) { return next() % end; }
  uint64_t between(uint64_t first, uint64_t last) { return first + below(last - first + 1); }
  bool chance(double p) { return static_cast<double>(next() >> 11) * 0x1p-53 < p; }
  sim_time between(sim_time first, sim_time last) {
    return sim_time{
               static_cast<int64_t>(below(static_cast<uint64_t>((last - first).count()) + 1))} +
           first;
  }

private:
  uint64_t state_;
};

/// What will happen, in the order of time; what was planned first comes first at the same moment.
class timeline {
public:
  [[nodiscard]] sim_time now() const { return now_; }
  [[nodiscard]] uint64_t count() const { return done_; }

  void at(sim_time when, std::function<void()> work) {
    plan_.push_back({std::max(when, now_), ++planned_, std::move(work)});
    std::push_heap(plan_.begin(), plan_.end(), later);
  }

  void run_until(sim_time end) {
    while (!plan_.empty() && plan_.front().when <= end) {
      std::pop_heap(plan_.begin(), plan_.end(), later);
      auto next = std::move(plan_.back());
      plan_.pop_back();
      now_ = next.when;
      ++done_;
      next.work();
    }
    now_ = end;
  }

private:
  struct entry {
    sim_time when;
    uint64_t number;
    std::function<void()> work;
  };
  static bool later(const entry& a, const entry& b) {
    return std::pair{a.when, a.number} > std::pair{b.when, b.number};
  }
  sim_time now_{};
  uint64_t planned_ = 0;
  uint64_t done_ = 0;
  std::vector<entry> plan_;
};

}  // namespace kgents::sim
