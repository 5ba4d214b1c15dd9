#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace kgents::runtime {

/// How much of a saturated node a tier's tenants get, against each other: its rank (data.md 9) and
/// one.
[[nodiscard]] uint32_t weight_of(std::string_view tier) noexcept;

/// Shares a node between tenants while it has more requests under way than it can work on at once.
///
/// Below the threshold everybody is let in. Above it a tenant that has its share of the threshold
/// under way (by weight, among the tenants that sent something within the last second) is refused
/// at once; the others are let in, so there are never more than the threshold and one request for
/// each of them … but for a tenant that is alone: it has the node to itself, up to its other bounds.
///
/// O(1) a request: a few atomic additions, no lock. Any thread. What it counts may be wrong by the
/// requests that come in the same microsecond, which a share can bear.
class fair_share {
public:
  /// One tenant's part; lives with its gate.
  struct tenant {
    std::atomic<uint32_t> in_flight{0};
    std::atomic<int64_t> seen{-1};  ///< the second of its last request
  };

  explicit fair_share(uint32_t threshold) : threshold_{threshold} {}

  /// A request under way; given back when it dies.
  class place {
  public:
    place() = default;
    place(fair_share* of, std::shared_ptr<tenant> who) : of_{of}, who_{std::move(who)} {}
    place(place&& x) noexcept : of_{std::exchange(x.of_, nullptr)}, who_{std::move(x.who_)} {}
    place& operator=(place&& x) noexcept {
      release();
      of_ = std::exchange(x.of_, nullptr);
      who_ = std::move(x.who_);
      return *this;
    }
    ~place() { release(); }
    void release() noexcept;
    [[nodiscard]] explicit operator bool() const noexcept { return of_ != nullptr; }

  private:
    fair_share* of_ = nullptr;
    std::shared_ptr<tenant> who_;
  };

  /// Empty when the tenant has its share already.
  [[nodiscard]] place enter(const std::shared_ptr<tenant>& who, uint32_t weight,
                            std::chrono::steady_clock::time_point now);

  [[nodiscard]] uint32_t in_flight() const noexcept { return in_flight_; }

private:
  /// The weight of the tenants that have sent something in this second or the last.
  uint32_t active_weight(tenant& who, uint32_t weight, int64_t second);

  const uint32_t threshold_;
  std::atomic<uint32_t> in_flight_{0};
  std::atomic<int64_t> second_{0};
  std::atomic<uint32_t> this_second_{0};
  std::atomic<uint32_t> last_second_{0};
};

}  // namespace kgents::runtime
