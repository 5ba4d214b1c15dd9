#define CAF_SUITE followers

#include "runtime/cluster/followed_session.test.hpp"

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::cluster;
using namespace kgents::runtime::cluster::test;

namespace {

struct fixture : followers_fixture {
  /// The place behind the n-th event that was said.
  cursor behind(size_t n) { return session.all.at(n)->place(); }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(followers_tests, fixture)

CAF_TEST(a follower on another node gets every event once and in order) {
  auto& x = follow(2);
  CAF_CHECK_EQUAL(x.placed, std::vector<int>{0});
  whole_turn();
  whole_turn();
  check_got(x, 0);
  CAF_CHECK_EQUAL(at(1).down->size(), 1u);
  CAF_CHECK_EQUAL(at(2).up.size(), 1u);
}

CAF_TEST(all followers of a node share one feed) {
  for (int i = 0; i < 5; ++i)
    follow(2);
  follow(3);
  follow(1);
  CAF_CHECK_EQUAL(at(1).down->size(), 2u);
  const auto before = at(1).links.sent[frame_kind::feed_events];
  begin();
  CAF_CHECK_EQUAL(at(1).links.sent[frame_kind::feed_events], before + 2);
  for (auto& x : all)
    check_got(x, 0);
}

CAF_TEST(a follower that comes during a turn hears it from its start) {
  whole_turn();
  begin();
  chunk();
  auto& x = follow(2);
  check_got(x, 3);
  chunk();
  auto& late = follow(2);  // the mirror has it all
  complete();
  check_got(x, 3);
  check_got(late, 3);
  CAF_CHECK_EQUAL(asked, 0);
}

CAF_TEST(a follower that comes during a turn whose start is gone here asks the owner for it) {
  begin();
  chunk();
  auto& x = follow(2);
  at(2).log->drop_before(at(2).log->at().base + 1);
  auto& late = follow(2);
  CAF_CHECK_EQUAL(asked, 1);
  chunk();
  complete();
  check_got(x, 0);
  check_got(late, 0);
}

CAF_TEST(a follower behind an old event gets what followed it and then what comes) {
  for (int i = 0; i < 3; ++i)
    whole_turn();
  move(3);  // the owner's log holds nothing of them
  auto& x = follow(2, behind(1));
  begin();
  chunk();
  check_got(x, 2);
  auto& y = follow(2, behind(4));
  complete();
  check_got(x, 2);
  check_got(y, 5);
}

CAF_TEST(a follower behind an event that the mirror holds asks nobody) {
  auto& x = follow(2);
  whole_turn();
  begin();
  auto& y = follow(2, behind(1));
  check_got(y, 2);
  check_got(x, 0);
  CAF_CHECK_EQUAL(asked, 0);
}

CAF_TEST(a follower of what does not exist is told so and leaves no mirror) {
  session.removed = true;
  auto& x = follow(2);
  CAF_CHECK_EQUAL(x.placed, std::vector<int>{404});
  CAF_CHECK_EQUAL(at(2).up.size(), 0u);
  CAF_CHECK_EQUAL(at(1).down->size(), 0u);
}

CAF_TEST(a session that moves in the middle of an answer takes its followers along) {
  auto& on_old = follow(1);
  auto& on_other = follow(2);
  auto& on_new = follow(3);
  begin();
  chunk();
  move(3);
  chunk();
  for (auto* x : {&on_old, &on_other, &on_new})
    check_got(*x, 0);
  CAF_CHECK_EQUAL(at(1).down->size(), 0u);
  CAF_CHECK_EQUAL(at(3).down->size(), 2u);
  CAF_CHECK_EQUAL(at(3).up.size(), 0u);  // its own readers read its own log
  move(1);
  chunk();
  move(2);
  complete();
  whole_turn();
  for (auto* x : {&on_old, &on_other, &on_new})
    check_got(*x, 0);
}

CAF_TEST(what is said between two looks at the routes is not lost) {
  auto& x = follow(2);
  begin();
  freeze();
  arrive(3);
  for (int i = 0; i < 5; ++i)
    chunk();
  // Only now the follower's node hears that it moved once more.
  using kind = runtime::cluster::route::kind;
  route(3, {kind::there, node_id{1}, lease + 1});
  at(3).entities.drop({shard_of(id)});
  settle();
  ++lease;
  owner = 1;
  route(1, {kind::here, {}, lease});
  activate();
  chunk();
  CAF_CHECK(x.got.size() < session.all.size());
  route(2, {kind::there, node_id{1}, lease});
  complete();
  check_got(x, 0);
}

CAF_TEST(after a lost link a follower gets what it missed and nothing twice) {
  auto& x = follow(2);
  begin();
  chunk();
  cut(1, 2);
  CAF_CHECK_EQUAL(at(1).down->size(), 0u);
  chunk();
  complete();
  whole_turn();
  tick();  // no link yet
  CAF_CHECK_EQUAL(x.got.size(), 2u);
  join(1, 2);
  tick();
  check_got(x, 0);
  whole_turn();
  check_got(x, 0);
}

CAF_TEST(a follower that comes while the owner is out of reach waits for it) {
  whole_turn();
  cut(1, 2);
  auto& x = follow(2);
  CAF_CHECK(x.placed.empty());
  join(1, 2);
  wait_for(x, [&] { return !x.placed.empty(); });
  CAF_CHECK_EQUAL(x.placed, std::vector<int>{0});
  whole_turn();
  check_got(x, 3);
}

CAF_TEST(a follower that comes while the shard is in transit waits for it) {
  whole_turn();
  freeze();
  auto& x = follow(2);
  CAF_CHECK(x.placed.empty());
  arrive(3);
  CAF_CHECK_EQUAL(x.placed, std::vector<int>{0});
  whole_turn();
  check_got(x, 3);
}

CAF_TEST(the followers of a removed session end wherever they are) {
  auto& here = follow(1);
  auto& there = follow(2);
  whole_turn();
  session.removed = true;
  at(1).log->close();
  at(1).readers.notify(at(1).log);
  settle();
  for (auto* x : {&here, &there}) {
    pull(*x);
    CAF_CHECK_EQUAL(x->got.size(), 3u);
    CAF_CHECK(x->reader->ended());
  }
  CAF_CHECK_EQUAL(at(2).up.size(), 0u);
  CAF_CHECK_EQUAL(at(1).down->size(), 0u);
}

CAF_TEST(followers of a session that was removed out of their reach end as well) {
  auto& x = follow(2);
  whole_turn();
  cut(1, 2);
  session.removed = true;
  join(1, 2);
  tick();
  pull(x);
  CAF_CHECK(x.reader->ended());
  CAF_CHECK_EQUAL(at(2).up.size(), 0u);
}

CAF_TEST(nothing is read for a link that is full and it goes on when that is not) {
  auto& slow = follow(2);
  auto& other = follow(1);
  begin();
  at(1).links.queued = 2 * 1024 * 1024;
  for (int i = 0; i < 200; ++i)
    chunk();
  CAF_CHECK_EQUAL(slow.got.size(), 1u);
  check_got(other, 0);
  at(1).links.queued = 0;
  at(1).down->writable(node_id{3});  // another's
  settle();
  CAF_CHECK_EQUAL(slow.got.size(), 1u);
  at(1).down->writable(node_id{2});
  settle();
  check_got(slow, 0);
  complete();
  check_got(slow, 0);
  CAF_CHECK_EQUAL(asked, 0);  // the mirror kept what its readers had yet to read
}

CAF_TEST(a feed that fell behind the log of the owner gets the rest from the database) {
  auto& slow = follow(2);
  begin();
  at(1).links.queued = 2 * 1024 * 1024;
  for (int i = 0; i < 20; ++i)
    chunk();
  at(1).log->drop_before(at(1).log->at().end);
  at(1).links.queued = 0;
  at(1).down->writable(node_id{2});
  settle();
  check_got(slow, 0);
}

CAF_TEST(a slow reader of a mirror gets what the mirror dropped from the owner) {
  auto& x = follow(2);
  auto& slow = follow(2);
  begin();
  slow.reader->on_ready = [] {};
  for (int i = 0; i < 400; ++i)
    chunk();
  CAF_CHECK(at(2).log->at().base > 0);
  check_got(x, 0);
  check_got(slow, 0);
  CAF_CHECK(asked > 0);
}

CAF_TEST(an owner that was replaced and does not know it feeds nobody) {
  auto& x = follow(2);
  begin();
  // The follower's node knows of a newer lease of the same node than that node itself.
  route(2, {runtime::cluster::route::kind::there, node_id{1}, lease + 1});
  settle();
  chunk();
  tick();
  CAF_CHECK_EQUAL(x.got.size(), 1u);
  ++lease;
  at(1).entities.drop({shard_of(id)});
  route(1, {runtime::cluster::route::kind::here, {}, lease});
  activate();
  tick();
  chunk();
  check_got(x, 0);
}

CAF_TEST(frames of a feed that is over change nothing) {
  auto& x = follow(2);
  begin();
  feed_events_frame late;
  late.items.push_back({77, wire_event{*make_turn_event(turn_id{uuid::random()}, 1, {}, "")}});
  at(2).up.events(node_id{1}, late);  // of no feed
  late.items[0].feed = 1;
  at(2).up.events(node_id{3}, late);  // of another node's
  at(2).up.opened(node_id{3}, {1, 99, std::nullopt});
  at(2).up.closed(node_id{3}, {1, {404, "Session not found", 0, ""}, {}, 0});
  at(1).down->close(node_id{3}, 1);
  at(1).down->close(node_id{2}, 77);
  chunk();
  check_got(x, 0);
}

CAF_TEST(a mirror that nobody reads goes after a while and one that is read stays) {
  auto& x = follow(2);
  auto& y = follow(3);
  whole_turn();
  tick();
  y.reader->stop();
  tick(9s);
  CAF_CHECK_EQUAL(at(1).down->size(), 2u);
  tick(11s);
  CAF_CHECK_EQUAL(at(3).up.size(), 0u);
  CAF_CHECK_EQUAL(at(2).up.size(), 1u);
  CAF_CHECK_EQUAL(at(1).down->size(), 1u);
  whole_turn();
  check_got(x, 0);
}

CAF_TEST(who reconnects to a mirror goes on where it was) {
  auto& x = follow(2);
  begin();
  chunk();
  const auto last = x.got.back()->place();
  x.reader->stop();
  chunk();
  auto& again = follow(2, last);
  complete();
  check_got(again, 2);
  CAF_CHECK_EQUAL(at(1).links.sent[frame_kind::feed_opened], 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
