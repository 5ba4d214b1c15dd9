#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "protocol/traffic.hpp"
#include "runtime/admission/verdict.hpp"

namespace kgents::runtime {

struct traffic_limits {
  uint32_t requests_per_minute = 0;  ///< 0: unlimited, as the next
  uint32_t requests_per_hour = 0;
  uint32_t burst = 0;  ///< what an idle key may send at once; at least 1

  [[nodiscard]] bool any() const noexcept {
    return requests_per_minute > 0 || requests_per_hour > 0;
  }
};

/// Requests with one API key on one node: a token bucket (requests per minute with a burst) and a
/// count of the hour (UTC).
///
/// On the home node of the key's tenant this is *the* bucket: requests of that node take from it
/// and other gateways lease blocks of permits from it, which are gone from the bucket at once. On
/// the other nodes it holds such a block, so that a warm request asks nobody.
///
/// How much more than the limit a cluster may let in: what gateways hold leased shifts a request by
/// at most `block_life`, so in any time there are at most burst + rate × time + one block
/// (`block_of`, and one for each request that waited) for each gateway. A home that moves or dies
/// starts with a full bucket: one burst more; it knows of the hour what gateways tell it when they
/// ask, each its own count. A gateway that cannot reach the home lets in its part of the limit
/// (limit / nodes), counted from full: one burst more in all.
///
/// Any thread; a mutex held for a few additions. Times are given, so that tests move them.
class traffic_gate {
public:
  using clock = std::chrono::steady_clock;

  struct moment {
    clock::time_point now;
    std::chrono::sys_seconds wall;
  };

  explicit traffic_gate(traffic_limits limits);

  void set_limits(traffic_limits limits);

  /// \name On the home node.
  /// @{
  verdict take(moment at);
  /// For a gateway. `own`: it is this node, which is on its way from gateway to home.
  [[nodiscard]] traffic_block lease(const take_traffic& x, bool own, moment at);
  /// @}

  /// \name On another node.
  /// @{

  /// From the block. `make` makes the request's verdict_handler, if it has to wait. The next three
  /// are for who was told to ask.
  template <class Make>
  [[nodiscard]] taken use(moment at, Make make) {
    std::lock_guard guard{mutex_};
    if (auto x = from_block(at))
      return {x, false};
    waiting_.push_back(make());
    return {std::nullopt, !std::exchange(asking_, true)};
  }

  /// What to ask: everything but the key and the asker.
  [[nodiscard]] take_traffic question(moment at);
  /// True: there are more who wait, ask again.
  [[nodiscard]] bool answered(const traffic_block& x, moment at);
  /// There was no answer: for `alone_for` this node lets in its part of the limit, as one of so
  /// many.
  void unreachable(size_t nodes, moment at);
  /// @}

  /// Requests that would pass now, as far as this node knows.
  [[nodiscard]] uint32_t left() const;
  /// A fresh one would say the same: its bucket is full and its hour empty.
  [[nodiscard]] bool forgettable(moment at);

  /// What a gateway takes beyond those that wait: a quarter of a second's. Up to 240 requests a
  /// minute that is nothing, so such limits are exact.
  [[nodiscard]] static uint32_t block_of(const traffic_limits& x) noexcept;

  /// Unused permits are forgotten then.
  static constexpr auto block_life = std::chrono::seconds{1};
  /// The home is asked again then; until then nobody waits for it.
  static constexpr auto alone_for = std::chrono::seconds{1};
  /// Requests that wait for one answer; more are refused: a second's at 60,000 a minute.
  static constexpr size_t most_waiting = 1024;

private:
  struct gateway {
    node_id node;
    uint32_t admitted;
  };

  void roll(moment at);
  void refill(moment at, double part);
  [[nodiscard]] double most(double part) const noexcept;
  [[nodiscard]] double per_second() const noexcept { return limits_.requests_per_minute / 60.0; }
  [[nodiscard]] verdict take_part(moment at, double part, uint32_t elsewhere);
  [[nodiscard]] std::optional<verdict> from_block(moment at);
  [[nodiscard]] uint32_t on_gateways() const noexcept;
  gateway& gateway_of(node_id x);

  mutable std::mutex mutex_;
  traffic_limits limits_;

  double bucket_;
  clock::time_point filled_{};
  int64_t hour_ = 0;
  uint32_t mine_ = 0;               // let in by this node in this hour
  std::vector<gateway> gateways_;   // what the others did, as far as they told, and their blocks
  uint32_t forgotten_gateways_ = 0; // what those did of which there were too many

  uint32_t block_ = 0;
  clock::time_point block_ends_{};
  clock::time_point refused_until_{};
  clock::time_point ready_at_{};
  bool refused_hourly_ = false;
  clock::time_point alone_until_{};
  double part_ = 1;
  uint32_t elsewhere_ = 0;
  uint32_t left_at_home_ = 0;
  bool leased_ = false;  // the last answer was the home's
  uint32_t asked_for_ = 0;
  bool asking_ = false;
  std::vector<verdict_handler> waiting_;  // bounded by most_waiting
};

}  // namespace kgents::runtime
