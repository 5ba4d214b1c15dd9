#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace kgents::runtime {

/// What a client address may do in a minute, all of it at once if it likes. An IPv6 client is its
/// /64.
///
/// The table is bounded: an address that has not asked for a minute is forgotten, and when all of
/// them have, one of them is forgotten all the same, so an attacker with many addresses gets what
/// he gets anyway and nobody else is refused. Any thread.
class address_limits {
public:
  using clock = std::chrono::steady_clock;

  static constexpr size_t most_addresses = 16'384;  ///< some 2 MB

  explicit address_limits(double per_minute) noexcept : per_minute_{per_minute} {}

  /// Takes one; how many seconds to wait if there is none, else 0.
  [[nodiscard]] uint32_t take(std::string_view address, clock::time_point now);

  [[nodiscard]] size_t size() const;

private:
  struct bucket {
    double left = 0;
    clock::time_point filled;
  };
  struct part {
    mutable std::mutex mutex;
    std::unordered_map<std::string, bucket> all;
    clock::time_point swept;
  };
  static constexpr size_t parts = 16;

  const double per_minute_;
  std::array<part, parts> parts_;
};

/// What stands for a client: an IPv4 address, also one written as IPv6, or the /64 of an IPv6 one.
[[nodiscard]] std::string client_of(std::string_view address);

/// This machine's own: nobody from outside.
[[nodiscard]] bool is_loopback(std::string_view address) noexcept;

}  // namespace kgents::runtime
