#pragma once

#include <bitset>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "protocol/cluster.hpp"
#include "runtime/handover.hpp"

namespace kgents::runtime::cluster {

using shard_set = std::bitset<shard_count>;

[[nodiscard]] shard_set set_of(const std::vector<shard_id>& shards);
[[nodiscard]] inline bool contains(const shard_set& shards, const entity_id& x) {
  return shards[shard_of(x).value];
}

/// Running turns that a hand-off brought, until their sessions are activated. Any thread.
class arrivals {
public:
  void add(const moving_turn& x);
  [[nodiscard]] std::optional<moving_turn> take(const entity_id& session);
  /// Those of sessions that leave without ever having been here, or that did not stay.
  std::vector<moving_turn> take(const std::vector<shard_id>& shards);

private:
  std::mutex mutex_;
  std::unordered_map<entity_id, moving_turn> turns_;
};

}  // namespace kgents::runtime::cluster
