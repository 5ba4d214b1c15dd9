#include "protocol/cluster.hpp"

namespace kgents {

shard_id shard_of(const entity_id& x) noexcept {
  // FNV-1a (Fowler, Noll, Vo; 64 bits) over kind, tenant and key: not std::hash, which may differ
  // between two builds.
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  mix(static_cast<uint8_t>(x.kind));
  for (const auto byte : x.tenant.value.bytes)
    mix(byte);
  for (const auto byte : x.key.bytes)
    mix(byte);
  // The low bits of FNV-1a are its weakest; folding takes all of them.
  return shard_id{static_cast<uint16_t>((hash ^ hash >> 32) % shard_count)};
}

}  // namespace kgents
