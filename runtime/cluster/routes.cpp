#include "runtime/cluster/routes.hpp"

namespace kgents::runtime::cluster {

routes::routes() {
  for (uint16_t i = 0; i < shard_count; ++i)
    set(shard_id{i}, {route::kind::here, {}, 0});
}

route routes::of(shard_id shard) const noexcept {
  const auto& x = slots_[shard.value];
  const auto state = x.state.load(std::memory_order_acquire);
  return {static_cast<route::kind>(state & 3), node_id{x.owner.load(std::memory_order_relaxed)},
          state >> 2};
}

void routes::set(shard_id shard, route x) noexcept {
  auto& to = slots_[shard.value];
  to.owner.store(x.owner.value, std::memory_order_relaxed);
  to.state.store(x.epoch << 2 | static_cast<uint64_t>(x.where), std::memory_order_release);
}

}  // namespace kgents::runtime::cluster
