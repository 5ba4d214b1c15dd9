#include "runtime/cluster/placement.hpp"

#include <vector>

namespace kgents::runtime::cluster {
namespace {

struct candidate {
  node_id id;
  uint64_t seed = 0;
};

std::vector<candidate> candidates(std::span<const cluster_member> members, std::string_view role) {
  std::vector<candidate> out;
  for (const auto& x : members) {
    if (x.state != member_state::up || !x.has_role(role))
      continue;
    // FNV-1a, and not std::hash: all nodes and releases must agree.
    uint64_t seed = 0xcbf29ce484222325;
    for (const auto byte : x.name)
      seed = (seed ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
    out.push_back({x.id, seed});
  }
  return out;
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit of the input moves each of the
/// result.
uint64_t mix(uint64_t x) noexcept {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

node_id best(shard_id shard, const std::vector<candidate>& among) noexcept {
  node_id out;
  uint64_t highest = 0;
  for (const auto& x : among) {
    const auto weight = mix(x.seed + (shard.value + uint64_t{1}) * 0x9e3779b97f4a7c15);
    if (!out || weight > highest || (weight == highest && x.id < out)) {
      out = x.id;
      highest = weight;
    }
  }
  return out;
}

}  // namespace

node_id owner_of(shard_id shard, std::span<const cluster_member> members, std::string_view role) {
  return best(shard, candidates(members, role));
}

placement place_all(std::span<const cluster_member> members, std::string_view role) {
  const auto among = candidates(members, role);
  placement out;
  for (uint16_t i = 0; i < shard_count; ++i)
    out[i] = best(shard_id{i}, among);
  return out;
}

}  // namespace kgents::runtime::cluster
