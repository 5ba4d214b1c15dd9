#pragma once

#include <array>
#include <atomic>

#include "protocol/cluster.hpp"

namespace kgents::runtime::cluster {

/// Where a message to an entity goes.
struct route {
  enum class kind : uint8_t {
    here,   ///< to this node's actor, which writes under `epoch`
    there,  ///< to `owner`
    wait,   ///< nowhere yet: its shard is on its way, or nobody's
  };
  kind where = kind::wait;
  node_id owner;          ///< of `there`; may be a moment old: who is asked wrongly says so
  lease_epoch epoch = 0;  ///< of the lease as far as it is known
};

/// Who owns each shard, for every thread that sends a message: a few atomic reads, no lock.
///
/// The `members` actor writes; any thread reads. A node outside any cluster has everything here,
/// under epoch 0.
class routes {
public:
  routes();

  [[nodiscard]] route of(shard_id shard) const noexcept;

  /// \name By the members actor only.
  /// @{
  void set(shard_id shard, route x) noexcept;
  /// @}

private:
  /// `state` holds the kind in its two low bits and the epoch above them, so that "here, under this
  /// epoch" is one read.
  struct slot {
    std::atomic<uint64_t> state;
    std::atomic<uint64_t> owner;
  };
  std::array<slot, shard_count> slots_;
};

}  // namespace kgents::runtime::cluster
