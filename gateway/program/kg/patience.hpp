#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>

namespace kgents::kg {

/// When to try again, and when to give up: waits that double, with jitter, so that the clients of
/// a server that comes back do not come all at once. Pure: the clock and the seed come in.
class patience {
public:
  using clock = std::chrono::steady_clock;

  static constexpr std::chrono::milliseconds first_wait{100};
  static constexpr std::chrono::milliseconds longest_wait{4000};

  patience(std::chrono::seconds limit, uint32_t seed) : limit_{limit}, dice_{seed} {}

  /// The server answered: all is forgotten.
  void reached() noexcept {
    since_.reset();
    tries_ = 0;
  }

  /// How long to wait before the next try, at least `asked`; none: without a server for too long.
  [[nodiscard]] std::optional<std::chrono::milliseconds> next(clock::time_point now,
                                                              std::chrono::milliseconds asked = {});

  [[nodiscard]] std::chrono::seconds limit() const noexcept { return limit_; }
  [[nodiscard]] unsigned tries() const noexcept { return tries_; }

private:
  const std::chrono::seconds limit_;
  std::mt19937 dice_;
  std::optional<clock::time_point> since_;
  unsigned tries_ = 0;
};

}  // namespace kgents::kg
