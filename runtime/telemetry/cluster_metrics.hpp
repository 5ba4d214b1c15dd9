#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <array>
#include <cstdint>
#include <mutex>

#include "protocol/cluster.hpp"

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// A counter that follows a sum which is kept elsewhere. Any thread.
class followed_counter {
public:
  explicit followed_counter(prometheus::Counter& counter) : counter_{counter} {}

  /// `total`: counted since the start; a smaller one than the last changes nothing.
  void follow(uint64_t total);

private:
  prometheus::Counter& counter_;
  std::mutex mutex_;
  uint64_t seen_ = 0;
};

/// A node's part in its cluster: `kgents_cluster_*`, `kgents_handoff_seconds`,
/// `kgents_failover_seconds`. Registered and zero from the start; a cluster of one has them too.
/// Any thread.
class cluster_metrics {
public:
  explicit cluster_metrics(prometheus::Registry& registry);

  /// What this node sees, at one moment.
  struct seen {
    member_state self = member_state::joining;
    std::array<size_t, 4> nodes{};  ///< by member_state, this one among them
    size_t shards = 0;              ///< that this node serves
    size_t moving = 0;              ///< … that are on their way to or from it
    size_t free_shards = 0;         ///< that nobody owns
    size_t links_up = 0;
    size_t links_down = 0;
  };
  void show(const seen& x);

  prometheus::Counter& moved_sessions;  ///< that left this node in hand-offs
  prometheus::Counter& fenced;          ///< entities that PostgreSQL refused as an old owner's
  prometheus::Histogram& handoff_seconds;
  prometheus::Histogram& failover_seconds;
  prometheus::Gauge& feeds;
  prometheus::Gauge& mirrors;
  prometheus::Gauge& waiting_asks;

  followed_counter asked;      ///< questions to other nodes
  followed_counter forwarded;  ///< others' questions passed on, their entity being elsewhere
  followed_counter told;       ///< words between turns and their sessions on other nodes
  followed_counter refused_peers;
  followed_counter bytes_in;
  followed_counter bytes_out;

private:
  std::array<prometheus::Gauge*, 4> nodes_;
  std::array<prometheus::Gauge*, 4> state_;
  prometheus::Gauge& shards_;
  prometheus::Gauge& moving_;
  prometheus::Gauge& free_;
  prometheus::Gauge& links_up_;
  prometheus::Gauge& links_down_;
};

}  // namespace kgents::runtime
