#define CAF_SUITE coordinator_shards

#include "runtime/cluster/coordinator_fixture.hpp"

using namespace kgents;
using namespace kgents::runtime::cluster;

namespace {

struct fixture : coordinator_fixture {};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(coordinator_shards_tests, fixture)

CAF_TEST(only the node whose shard it should be takes it from a dead one) {
  start();
  meet(peer);
  state(third, member_state::up);
  feed(link_up{third});
  poke();
  // All that should be the third's is; then it dies.
  for (uint16_t i = 0; i < shard_count; ++i)
    if (owner_of(shard_id{i}, view.members) == third)
      lease(i, third);
  poke();
  out.clear();
  state(third, member_state::dead);
  poke();
  const auto asked = get<take_leases>();
  for (const auto x : asked.shards)
    CAF_CHECK_EQUAL(owner_of(x, view.members), us);
  CAF_CHECK_GREATER(asked.shards.size(), 100u);
  feed(take_failed{});
  CAF_CHECK_EQUAL(count<take_leases>(), 0u);
  live(1s);
  CAF_CHECK_EQUAL(get<take_leases>().shards.size(), asked.shards.size());
}

CAF_TEST(what another node should have goes there in a few small moves) {
  start();
  meet(peer);
  CAF_CHECK_EQUAL(count<release_shards>(), 2u);
  const auto x = get<release_shards>();
  CAF_CHECK_EQUAL(x.to, peer);
  CAF_CHECK_EQUAL(x.shards.size(), 64u);
  CAF_CHECK(node.holds(x.shards[0]) == hold::leaving);
  CAF_CHECK_EQUAL(node.moves().size(), 2u);
  feed(shards_released{x.hand_off});
  const auto give = get<give_leases>();
  CAF_CHECK(give.shards == x.shards);
  const auto moved = move(x.shards, peer);
  feed(leases_given{x.hand_off, moved});
  const auto sent = get<send_snapshots>();
  CAF_CHECK(sent.shards == moved);
  CAF_CHECK_EQUAL(count<poke_peers>(), 1u);
  CAF_CHECK(node.holds(x.shards[0]) == hold::none);
  CAF_CHECK(node.lease(x.shards[0]) == (shard_lease{peer, 2}));
  CAF_CHECK_EQUAL(count<release_shards>(), 2u);  // the other one, and the next
  CAF_CHECK_EQUAL(count<lose_shards>(), 0u);
  feed(leases_given{x.hand_off, moved});
  CAF_CHECK_EQUAL(count<send_snapshots>(), 0u);
}

CAF_TEST(a move that fails is undone and comes again later and smaller) {
  start();
  meet(peer);
  for (int i = 0; i < 2; ++i) {
    const auto x = get<release_shards>();
    feed(release_failed{x.hand_off});
    CAF_CHECK(get<keep_shards>().shards == x.shards);
    CAF_CHECK(node.holds(x.shards[0]) == hold::held);
    feed(shards_released{x.hand_off});
    CAF_CHECK_EQUAL(count<give_leases>(), 0u);
  }
  CAF_CHECK_EQUAL(count<release_shards>(), 0u);
  live(1s);
  CAF_CHECK_LESS(get<release_shards>().shards.size(), 64u);
}

CAF_TEST(a move that takes too long is undone) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  live(2100ms);
  CAF_CHECK(get<keep_shards>().shards == x.shards);
}

CAF_TEST(a move to a node whose link is lost is undone) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  feed(link_down{peer});
  CAF_CHECK(get<keep_shards>().shards == x.shards);
  live(3s);
  CAF_CHECK_EQUAL(count<release_shards>(), 1u);  // of the second one, from before
}

CAF_TEST(leases that did not move go on here) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  feed(shards_released{x.hand_off});
  auto moved = move({x.shards[0]}, peer);
  feed(leases_given{x.hand_off, moved});
  CAF_CHECK_EQUAL(get<send_snapshots>().shards.size(), 1u);
  CAF_CHECK_EQUAL(get<keep_shards>().shards.size(), x.shards.size() - 1);
}

CAF_TEST(when the outcome of a move is unknown the next view tells it) {
  start();
  meet(peer);
  const auto gone = get<release_shards>();
  const auto stayed = get<release_shards>();
  feed(shards_released{gone.hand_off});
  feed(shards_released{stayed.hand_off});
  const auto moved = move(gone.shards, peer);
  feed(give_unknown{gone.hand_off});
  feed(give_unknown{stayed.hand_off});
  CAF_CHECK(node.holds(gone.shards[0]) == hold::leaving);
  pass(100ms);
  answer_all();
  CAF_CHECK(get<send_snapshots>().shards == moved);
  CAF_CHECK(get<keep_shards>().shards == stayed.shards);
  CAF_CHECK(node.holds(gone.shards[0]) == hold::none);
  CAF_CHECK(node.holds(stayed.shards[0]) == hold::held);
}

CAF_TEST(a view that was read before a move became uncertain does not settle it) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  feed(shards_released{x.hand_off});
  now += 60ms;
  feed(poked{});
  get<read_view>();
  const auto before = view;
  const auto moved = move(x.shards, peer);
  feed(give_unknown{x.hand_off});
  feed(viewed{before, false});
  CAF_CHECK_EQUAL(count<keep_shards>(), 0u);
  pass(100ms);
  answer_all();
  CAF_CHECK(get<send_snapshots>().shards == moved);
}

CAF_TEST(a new owner waits for the snapshot and then does without it) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  feed(shards_released{x.hand_off});
  feed(leases_given{x.hand_off, move(x.shards, peer)});
  out.clear();
  // The peer gives one back.
  const auto shard = x.shards[0];
  lease(shard.value, us);
  poke();
  CAF_CHECK(node.holds(shard) == hold::arriving);
  CAF_CHECK_EQUAL(count<own_shards>(), 0u);
  pass(900ms);
  CAF_CHECK_EQUAL(count<own_shards>(), 0u);
  pass(200ms);
  const auto own = get<own_shards>();
  CAF_CHECK(own.recover);
  CAF_CHECK_EQUAL(own.shards.size(), 1u);
  CAF_CHECK(node.holds(shard) == hold::held);
  feed(handed_over{peer, own.shards});
  CAF_CHECK_EQUAL(count<own_shards>(), 0u);
}

CAF_TEST(a snapshot makes an owner before the view does) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  feed(shards_released{x.hand_off});
  feed(leases_given{x.hand_off, move(x.shards, peer)});
  out.clear();
  const auto shard = x.shards[0];
  const auto before = view;
  const auto back = move({shard}, us);
  feed(handed_over{peer, back});
  const auto own = get<own_shards>();
  CAF_CHECK(!own.recover);
  CAF_CHECK(own.shards == back);
  feed(handed_over{peer, back});
  CAF_CHECK_EQUAL(count<own_shards>(), 0u);
  // An older view does not take it away again, nor does the present one give it twice.
  now += 60ms;
  feed(poked{});
  get<read_view>();
  feed(viewed{before, false});
  CAF_CHECK(node.holds(shard) == hold::held);
  poke();
  CAF_CHECK_EQUAL(count<own_shards>() + count<lose_shards>(), 0u);
}

CAF_TEST(a snapshot for a former life of ours is not ours) {
  start();
  feed(handed_over{peer, {{shard_id{1}, 7}}, third});
  CAF_CHECK_EQUAL(count<own_shards>(), 0u);
  CAF_CHECK(node.lease(shard_id{1}) == (shard_lease{us, 1}));
}

CAF_TEST(a snapshot whose sender is lost is not waited for) {
  start();
  meet(peer);
  const auto x = get<release_shards>();
  feed(shards_released{x.hand_off});
  feed(leases_given{x.hand_off, move(x.shards, peer)});
  lease(x.shards[0].value, us);
  poke();
  out.clear();
  feed(link_down{peer});
  CAF_CHECK(get<own_shards>().recover);
}

CAF_TEST(what the view gives to another is lost) {
  start();
  state(peer, member_state::up);
  lease(8, peer);
  poke();
  const auto lost = get<lose_shards>();
  CAF_CHECK_EQUAL(lost.shards.size(), 1u);
  CAF_CHECK(node.holds(shard_id{8}) == hold::none);
}

CAF_TEST_FIXTURE_SCOPE_END()
