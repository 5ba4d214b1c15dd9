#define CAF_SUITE placement

#include "runtime/cluster/placement.hpp"

#include <algorithm>
#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject
#include <map>

using namespace kgents;
using namespace kgents::runtime::cluster;

namespace {

std::vector<cluster_member> members(int count) {
  std::vector<cluster_member> out;
  for (int i = 0; i < count; ++i) {
    cluster_member x;
    x.id = node_id{static_cast<uint64_t>(i + 1)};
    x.name = "node-" + std::string(1, static_cast<char>('a' + i));
    x.roles = {"gateway", "kgent"};
    x.state = member_state::up;
    out.push_back(std::move(x));
  }
  return out;
}

std::map<node_id, int> counts(const placement& x) {
  std::map<node_id, int> out;
  for (const auto owner : x)
    ++out[owner];
  return out;
}

}  // namespace

CAF_TEST(each of three nodes gets about a third) {
  const auto got = counts(place_all(members(3)));
  CAF_REQUIRE_EQUAL(got.size(), 3u);
  for (const auto& [id, shards] : got) {
    CAF_CHECK_GREATER(shards, 341 - 70);
    CAF_CHECK_LESS(shards, 341 + 70);
  }
}

CAF_TEST(a fourth node takes from the others and moves nothing between them) {
  const auto before = place_all(members(3));
  const auto after = place_all(members(4));
  int moved = 0;
  for (uint16_t i = 0; i < shard_count; ++i) {
    if (before[i] == after[i])
      continue;
    CAF_CHECK_EQUAL(after[i], node_id{4});
    ++moved;
  }
  CAF_CHECK_GREATER(moved, 256 - 60);
  CAF_CHECK_LESS(moved, 256 + 60);
}

CAF_TEST(a node that comes back under its name gets back what it had) {
  auto now = members(3);
  const auto before = place_all(now);
  now[1].id = node_id{9};
  const auto after = place_all(now);
  for (uint16_t i = 0; i < shard_count; ++i)
    CAF_CHECK_EQUAL(after[i], before[i] == node_id{2} ? node_id{9} : before[i]);
}

CAF_TEST(the order in which members are listed does not matter) {
  auto now = members(5);
  const auto before = place_all(now);
  std::reverse(now.begin(), now.end());
  CAF_CHECK(before == place_all(now));
}

CAF_TEST(only members that are up and have the role get shards) {
  auto now = members(4);
  now[0].state = member_state::joining;
  now[1].state = member_state::leaving;
  now[2].roles = {"gateway"};
  const auto got = counts(place_all(now));
  CAF_CHECK_EQUAL(got.size(), 1u);
  CAF_CHECK(got.contains(node_id{4}));
  now[3].state = member_state::dead;
  CAF_CHECK(!owner_of(shard_id{7}, now));
}

CAF_TEST(one shard has the owner it has among all) {
  const auto now = members(6);
  const auto all = place_all(now);
  for (uint16_t i = 0; i < shard_count; ++i)
    CAF_CHECK_EQUAL(owner_of(shard_id{i}, now), all[i]);
}
