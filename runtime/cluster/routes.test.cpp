#define CAF_SUITE routes

#include "runtime/cluster/routes.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using runtime::cluster::route;
using runtime::cluster::routes;

CAF_TEST(outside a cluster everything is here under epoch 0) {
  const routes all;
  for (uint16_t i = 0; i < shard_count; ++i) {
    const auto x = all.of(shard_id{i});
    CAF_REQUIRE(x.where == route::kind::here);
    CAF_REQUIRE_EQUAL(x.epoch, 0u);
  }
}

CAF_TEST(a shard is where it was put last and its neighbours stay) {
  routes all;
  all.set(shard_id{5}, {route::kind::there, node_id{7}, 3});
  all.set(shard_id{6}, {route::kind::wait, node_id{}, 9});
  CAF_CHECK(all.of(shard_id{5}).where == route::kind::there);
  CAF_CHECK(all.of(shard_id{5}).owner == node_id{7});
  CAF_CHECK_EQUAL(all.of(shard_id{5}).epoch, 3u);
  CAF_CHECK(all.of(shard_id{6}).where == route::kind::wait);
  CAF_CHECK_EQUAL(all.of(shard_id{6}).epoch, 9u);
  CAF_CHECK(all.of(shard_id{4}).where == route::kind::here);
  all.set(shard_id{5}, {route::kind::here, node_id{8}, 4});
  CAF_CHECK(all.of(shard_id{5}).where == route::kind::here);
  CAF_CHECK_EQUAL(all.of(shard_id{5}).epoch, 4u);
}

CAF_TEST(the kind does not eat into an epoch) {
  routes all;
  constexpr lease_epoch large = (lease_epoch{1} << 62) - 1;
  all.set(shard_id{1023}, {route::kind::wait, node_id{~uint64_t{0}}, large});
  const auto x = all.of(shard_id{1023});
  CAF_CHECK(x.where == route::kind::wait);
  CAF_CHECK_EQUAL(x.epoch, large);
  CAF_CHECK(x.owner == node_id{~uint64_t{0}});
}
