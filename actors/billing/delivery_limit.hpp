#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace kgents::billing {

/// Deliveries by where they come from: a hundred a minute, all of them at once if need be
/// (events-and-billing.md 4.1).
///
/// The table is bounded: who has not delivered for a minute is forgotten, and when that is not
/// enough, somebody is forgotten all the same. Any thread.
class delivery_limit {
public:
  using clock = std::chrono::steady_clock;

  static constexpr double per_minute = 100;
  static constexpr size_t most_sources = 4096;  ///< Stripe delivers from some dozen

  /// Takes one; how many seconds to wait if there is none, else 0.
  [[nodiscard]] uint32_t take(std::string_view source, clock::time_point now);

  [[nodiscard]] size_t size() const;

private:
  struct bucket {
    double left = per_minute;
    clock::time_point filled;
  };

  mutable std::mutex mutex_;
  std::unordered_map<std::string, bucket> all_;
  clock::time_point swept_{};
};

}  // namespace kgents::billing
