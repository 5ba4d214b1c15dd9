#define CAF_SUITE coordinator

#include "runtime/cluster/coordinator_fixture.hpp"

using namespace kgents;
using namespace kgents::runtime::cluster;

namespace {

struct fixture : coordinator_fixture {};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(coordinator_tests, fixture)

CAF_TEST(a node that is alone joins and is up and owns everything) {
  feed(tick{});
  CAF_CHECK_EQUAL(out.size(), 1u);
  answer();
  CAF_CHECK(get<beat>().state == member_state::joining);
  feed(viewed{view, true});
  CAF_CHECK(get<beat>().state == member_state::up);
  CAF_CHECK(node.state() == member_state::joining);
  state(us, member_state::up);
  feed(viewed{view, true});
  CAF_CHECK(get<state_changed>().state == member_state::up);
  const auto asked = get<take_leases>();
  CAF_CHECK_EQUAL(asked.shards.size(), shard_count);
  CAF_CHECK_EQUAL(held(), 0u);
  feed(leases_taken{move(asked.shards, us)});
  const auto own = get<own_shards>();
  CAF_CHECK_EQUAL(own.shards.size(), shard_count);
  CAF_CHECK(own.recover);
  CAF_CHECK_EQUAL(held(), shard_count);
  CAF_CHECK(node.lease(shard_id{5}) == (shard_lease{us, 1}));
  CAF_CHECK_EQUAL(count<routes_changed>(), 1u);
}

CAF_TEST(a node joins until it is linked to all that are up) {
  state(peer, member_state::up);
  state(third, member_state::up);
  feed(tick{});
  answer_all();
  CAF_CHECK_EQUAL(get<keep_links>().peers.size(), 2u);
  feed(link_up{peer});
  live(20s);
  CAF_CHECK(node.state() == member_state::joining);
  CAF_CHECK_EQUAL(count<suspect>(), 0u);
  CAF_CHECK_EQUAL(count<take_leases>(), 0u);
  feed(link_up{third});
  answer_all();
  CAF_CHECK(node.state() == member_state::up);
}

CAF_TEST(a beat goes out every two seconds and at most one call is under way) {
  start();
  const auto before = member(us).beat;
  for (int i = 0; i < 100; ++i) {
    pass(100ms);
    feed(poked{});
    CAF_CHECK_LESS_OR_EQUAL(count<beat>() + count<read_view>(), 1u);
    if (i % 3 == 0)
      answer_all();
  }
  CAF_CHECK_GREATER_OR_EQUAL(member(us).beat - before, 4u);
  CAF_CHECK_LESS_OR_EQUAL(member(us).beat - before, 6u);
}

CAF_TEST(calls that fail are tried again soon and not in a tight loop) {
  start();
  pass(2s);
  int tries = 0;
  for (int i = 0; i < 45; ++i) {
    if (count<beat>() > 0) {
      get<beat>();
      ++tries;
      feed(database_failed{});
    }
    pass(100ms);
  }
  CAF_CHECK_GREATER(tries, 7);
  CAF_CHECK_LESS(tries, 16);
}

CAF_TEST(a member whose beat stands still for six seconds is declared dead) {
  start();
  meet(peer);
  out.clear();
  member(peer).beat = 17;
  live(5900ms, false);
  CAF_CHECK_EQUAL(count<declare_dead>(), 0u);
  live(2500ms, false);
  const auto x = get<declare_dead>();
  CAF_CHECK_EQUAL(x.peer, peer);
  CAF_CHECK_EQUAL(x.beat, 17u);
}

CAF_TEST(a member that beats is not ) {
  start();
  meet(peer);
  live(60s);
  CAF_CHECK_EQUAL(count<declare_dead>(), 0u);
}

CAF_TEST(while PostgreSQL is away nobody is declared dead and afterwards all get their time) {
  start();
  meet(peer);
  live(4s);
  out.clear();
  for (int i = 0; i < 48; ++i) {
    pass(100ms);
    if (count<beat>() > 0) {
      get<beat>();
      feed(database_failed{});
    }
  }
  live(5s, false);
  CAF_CHECK_EQUAL(count<declare_dead>(), 0u);
  live(3s, false);
  CAF_CHECK_GREATER(count<declare_dead>(), 0u);
}

CAF_TEST(a node that stood still blames nobody for it) {
  start();
  meet(peer);
  live(4s);
  pass(20s);
  answer_all();
  live(4s, false);
  CAF_CHECK_EQUAL(count<declare_dead>(), 0u);
}

CAF_TEST(a lost link is a suspicion at once and a new one withdraws it) {
  start();
  meet(peer);
  live(2s);
  feed(link_down{peer});
  CAF_CHECK_EQUAL(get<suspect>().peer, peer);
  feed(link_down{peer});
  CAF_CHECK_EQUAL(count<suspect>(), 0u);
  feed(link_up{peer});
  CAF_CHECK_EQUAL(get<trust>().peer, peer);
  live(3s);
  CAF_CHECK_EQUAL(count<trust>(), 0u);
}

CAF_TEST(a suspicion is repeated while the link is down and withdrawn while the view shows it) {
  start();
  meet(peer);
  feed(link_down{peer});
  live(5s);
  CAF_CHECK_GREATER_OR_EQUAL(count<suspect>(), 4u);
  member(peer).suspects = {us};
  feed(link_up{peer});
  get<trust>();
  live(3s);
  CAF_CHECK_GREATER_OR_EQUAL(count<trust>(), 2u);
  member(peer).suspects = {};
  live(2s);
  out.clear();
  live(3s);
  CAF_CHECK_EQUAL(count<trust>(), 0u);
}

CAF_TEST(two nodes that came up at the same moment and never meet suspect each other in the end) {
  start();
  state(peer, member_state::up);
  poke();
  live(5s);
  CAF_CHECK_EQUAL(count<suspect>(), 0u);
  live(2s);
  CAF_CHECK_GREATER(count<suspect>(), 0u);
}

CAF_TEST(without a beat of its own for five seconds a node acts on nothing) {
  start();
  pass(2s);
  answer_all();
  pass(2s);
  CAF_CHECK_EQUAL(count<beat>(), 1u);  // and nobody answers it
  pass(2900ms);
  CAF_CHECK_EQUAL(held(), shard_count);
  pass(200ms);
  CAF_CHECK_EQUAL(get<lose_shards>().shards.size(), shard_count);
  CAF_CHECK_EQUAL(held(), 0u);
  CAF_CHECK(!node.lease(shard_id{3}).owner);
  // Another takes one of them meanwhile.
  state(peer, member_state::up);
  lease(3, peer);
  pass(2s);
  get<beat>();
  feed(viewed{view, true});
  CAF_CHECK_EQUAL(held(), 0u);  // it was sent too long ago
  answer_all();
  const auto own = get<own_shards>();
  CAF_CHECK(own.recover);
  CAF_CHECK_EQUAL(own.shards.size(), shard_count - 1u);
  CAF_CHECK(node.holds(shard_id{3}) == hold::none);
  CAF_CHECK_EQUAL(node.lease(shard_id{3}).owner, peer);
}

CAF_TEST(a node that stood still loses its shards before it looks at anything else) {
  start();
  now += 20s;
  feed(link_up{peer});
  CAF_REQUIRE(!out.empty());
  CAF_CHECK(std::holds_alternative<lose_shards>(out.front()));
}

CAF_TEST(a node that was declared dead ends its life and joins again) {
  start();
  state(us, member_state::dead);
  state(peer, member_state::up);
  poke();
  CAF_CHECK_EQUAL(get<lose_shards>().shards.size(), shard_count);
  get<fenced>();
  CAF_CHECK(!node.self());
  CAF_CHECK_EQUAL(count<join>(), 0u);
  pass(1s);
  get<join>();
  feed(joined{third});
  CAF_CHECK_EQUAL(node.self(), third);
}

CAF_TEST(a new life waits for the answers of the old one) {
  start();
  meet(peer);
  const auto id = get<release_shards>().hand_off;
  feed(shards_released{id});
  get<give_leases>();
  state(us, member_state::dead);
  pass(2s);
  answer();
  get<fenced>();
  pass(5s);
  CAF_CHECK_EQUAL(count<join>(), 0u);
  feed(give_unknown{id});
  CAF_CHECK_EQUAL(count<join>(), 1u);
}

CAF_TEST(a node stops for good when another process has its name) {
  start();
  state(us, member_state::dead);
  state(third, member_state::joining);
  member(third).name = "node-a";
  poke();
  get<fenced>();
  CAF_CHECK_EQUAL(count<stop>() + count<join>(), 0u);
  pass(1s);
  ++member(third).beat;
  answer();
  get<stop>();
  pass(60s);
  CAF_CHECK_EQUAL(count<join>(), 0u);
}

CAF_TEST(a join of its own that was carried out late does not stop a node) {
  start();
  state(us, member_state::dead);
  state(third, member_state::joining);
  member(third).name = "node-a";
  poke();
  get<fenced>();
  for (int i = 0; i < 40 && count<join>() == 0; ++i) {
    pass(100ms);
    if (count<read_view>() > 0)
      answer();
  }
  CAF_CHECK_EQUAL(count<stop>(), 0u);
  CAF_CHECK_EQUAL(count<join>(), 1u);
}

CAF_TEST(a node that leaves gives everything away and is drained then) {
  start();
  meet(peer);
  out.clear();
  feed(drain_asked{});
  CAF_CHECK(get<state_changed>().state == member_state::leaving);
  CAF_CHECK_EQUAL(count<drained>(), 0u);
  for (const auto& x : node.moves())
    CAF_CHECK_EQUAL(x.to, peer);
  for (uint64_t id = 1; id < 100 && !node.moves().empty(); ++id) {
    answer_all();
    feed(shards_released{id});
    if (count<give_leases>() == 0)
      continue;
    const auto give = get<give_leases>();
    feed(leases_given{give.hand_off, move(give.shards, peer)});
  }
  answer_all();
  CAF_CHECK_EQUAL(held(), 0u);
  CAF_CHECK_EQUAL(count<drained>(), 1u);
  CAF_CHECK_EQUAL(count<keep_shards>(), 0u);
  live(5s);
  CAF_CHECK_EQUAL(count<drained>(), 1u);
}

CAF_TEST(a node that leaves and has nobody to give to keeps its shards and may go) {
  start();
  feed(drain_asked{});
  answer_all();
  CAF_CHECK_EQUAL(count<drained>(), 1u);
  CAF_CHECK_EQUAL(held(), shard_count);
}

CAF_TEST(a drain that an operator asked for in PostgreSQL is like any other) {
  start();
  member(us).drain_requested = true;
  poke();
  CAF_CHECK(node.state() == member_state::leaving);
  CAF_CHECK(member(us).state == member_state::leaving);
}

CAF_TEST(a node that is asked to leave before it has joined may go at once) {
  feed(drain_asked{});
  get<drained>();
  pass(10s);
  CAF_CHECK_EQUAL(count<join>(), 0u);
}

CAF_TEST(a node without the role takes nothing) {
  node = coordinator{{.name = "node-a", .roles = {"gateway"}}};
  member(us).roles = {"gateway"};
  feed(tick{});
  answer_all();
  CAF_CHECK(node.state() == member_state::up);
  live(3s);
  CAF_CHECK_EQUAL(count<take_leases>(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
