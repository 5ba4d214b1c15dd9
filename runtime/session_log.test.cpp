#define CAF_SUITE session_log

#include "runtime/session_log_fixture.test.hpp"

using namespace kgents;
using namespace kgents::runtime::test;
using runtime::session_log;

CAF_TEST_FIXTURE_SCOPE(session_log_tests, session_log_fixture)

CAF_TEST(a chunk is shown when it is committed and not before) {
  log->append_shown(begin(first), lease);
  chunks(first, 0, 3);
  CAF_CHECK_EQUAL(read(0), indices({-1}));
  const auto some = log->take(2);
  CAF_CHECK_EQUAL(some.chunks.size(), 2u);
  CAF_CHECK_EQUAL(read(0), indices({-1}));
  CAF_CHECK(!log->committed(some.take, true));
  CAF_CHECK_EQUAL(read(0), indices({-1, 0, 1}));
  CAF_CHECK(!log->all_committed());
  commit();
  CAF_CHECK_EQUAL(read(0), indices({-1, 0, 1, 2}));
  CAF_CHECK(log->all_committed());
}

CAF_TEST(a chunk that is shown at once waits for its commit all the same) {
  log->append_chunk(chunk(first, 0), true, lease);
  CAF_CHECK_EQUAL(read(0), indices({0}));
  CAF_CHECK(!log->all_committed());
  const auto some = log->take(10);
  CAF_CHECK_EQUAL(some.chunks.size(), 1u);
  CAF_CHECK(!log->committed(some.take, false));
  CAF_CHECK(log->all_committed());
}

CAF_TEST(a reader reads as much as it wants from where it stands) {
  ended_turn();
  CAF_CHECK_EQUAL(read(1, 2), indices({0, 1}));
  CAF_CHECK_EQUAL(read(4), indices());
  CAF_CHECK_EQUAL(read(100), indices());
  uint64_t position = 1;
  std::vector<event_ptr> out;
  CAF_CHECK(log->read(position, out, 2));
  CAF_CHECK_EQUAL(position, 3u);
}

CAF_TEST(what is under way is not taken again before its outcome is known) {
  chunks(first, 0, 2);
  const auto some = log->take(1);
  CAF_CHECK_EQUAL(some.chunks.size(), 1u);
  CAF_CHECK(log->take(10).chunks.empty());
  log->failed(some.take);
  const auto again = log->take(10);
  CAF_REQUIRE_EQUAL(again.chunks.size(), 2u);
  CAF_CHECK_EQUAL(again.chunks[0]->place().index, 0);
}

CAF_TEST(the writer is told once until it takes) {
  chunks(first, 0, 1);
  CAF_CHECK(log->mark_dirty());
  CAF_CHECK(!log->mark_dirty());
  CAF_CHECK_EQUAL(log->take(10).chunks.size(), 1u);
  CAF_CHECK(log->mark_dirty());
}

CAF_TEST(uncommitted bytes are counted for all logs of the node) {
  session_log other{some_session(), tally};
  chunks(first, 0, 2);
  other.append_chunk(chunk(second, 0), false, lease);
  CAF_CHECK_EQUAL(tally.load(), 3 * 6u);
  commit();
  CAF_CHECK_EQUAL(tally.load(), 6u);
  chunks(first, 2, 4);
  CAF_CHECK_EQUAL(tally.load(), 3 * 6u);
  log->drop_uncommitted();
  CAF_CHECK_EQUAL(tally.load(), 6u);
  chunks(first, 2, 3);
  log.reset();
  CAF_CHECK_EQUAL(tally.load(), 6u);
}

CAF_TEST(the owner hears of the commit that it waits for) {
  const auto owner =
      sys.spawn([](caf::event_based_actor*, int) -> caf::behavior { return {[](int) {}}; }, 0);
  CAF_CHECK(log->begin(lease, owner.address(), session_log::start::anywhere));
  CAF_CHECK(!log->want_commit());  // nothing is uncommitted
  chunks(first, 0, 2);
  CAF_CHECK(log->want_commit());
  auto some = log->take(1);
  CAF_CHECK(!log->committed(some.take, true));
  some = log->take(1);
  CAF_CHECK(log->committed(some.take, true) == owner.address());
  chunks(first, 2, 3);
  some = log->take(1);
  CAF_CHECK(!log->committed(some.take, true));  // it did not ask again
  caf::anon_send_exit(owner, caf::exit_reason::user_shutdown);
}

CAF_TEST(a new activation drops what was not shown) {
  log->append_shown(begin(first), lease);
  chunks(first, 0, 1);
  commit();
  chunks(first, 1, 3);
  log->drop_uncommitted();
  CAF_CHECK_EQUAL(log->at().end, 2u);
  CAF_CHECK(log->all_committed());
  CAF_CHECK(log->take(10).chunks.empty());
  chunks(first, 1, 2);
  commit();
  CAF_CHECK_EQUAL(read(0), indices({-1, 0, 1}));
}

CAF_TEST(a new activation keeps what was shown before it was durable) {
  log->append_shown(begin(first), lease);
  log->append_chunk(chunk(first, 0), true, lease);
  chunks(first, 1, 2);
  log->drop_uncommitted();
  CAF_CHECK_EQUAL(read(0), indices({-1, 0}));
  CAF_CHECK_EQUAL(log->shown_of(first).size(), 2u);
}

CAF_TEST(the outcome of a commit that an old activation began moves nothing of the new one) {
  chunks(first, 0, 2);
  const auto old = log->take(10);
  log->drop_uncommitted();
  chunks(first, 0, 3);
  const auto fresh = log->take(10);
  CAF_CHECK_EQUAL(fresh.chunks.size(), 3u);
  CAF_CHECK(!log->committed(old.take, true));
  CAF_CHECK_EQUAL(read(0), indices());
  log->failed(old.take);
  CAF_CHECK(log->take(10).chunks.empty());  // still under way
  CAF_CHECK(!log->committed(fresh.take, true));
  CAF_CHECK_EQUAL(read(0), indices({0, 1, 2}));
}

CAF_TEST(the writer is told of a new activation although it let go of the old one) {
  chunks(first, 0, 1);
  CAF_CHECK(log->mark_dirty());
  const auto old = log->take(10);
  chunks(first, 1, 2);
  CAF_CHECK(log->mark_dirty());
  CAF_CHECK(log->take(10).chunks.empty());
  log->failed(old.take);  // refused: the writer does not come back to it by itself
  log->drop_uncommitted();
  chunks(first, 0, 1);
  CAF_CHECK(log->mark_dirty());
}

CAF_TEST(a cursor finds the place behind its event) {
  ended_turn();
  log->append_shown(begin(second), lease);
  const auto behind = [&](turn_id turn, int64_t index) {
    return static_cast<int>(log->behind({turn, 1, index}).value_or(99));
  };
  CAF_CHECK_EQUAL(behind(first, cursor::before_turn), 0);
  CAF_CHECK_EQUAL(behind(first, cursor::turn_event), 1);
  CAF_CHECK_EQUAL(behind(first, 0), 2);
  CAF_CHECK_EQUAL(behind(first, 1), 3);
  CAF_CHECK_EQUAL(behind(first, 2), 4);
  CAF_CHECK_EQUAL(behind(first, 1000), 4);
  CAF_CHECK_EQUAL(behind(second, cursor::turn_event), 5);
  CAF_CHECK_EQUAL(behind(turn_id{uuid::random()}, 0), 99);
  CAF_CHECK_EQUAL(static_cast<int>(log->first_of(second).value_or(99)), 4);
  CAF_CHECK(!log->first_of(turn_id{uuid::random()}));
}

CAF_TEST(a reader behind what is held is told so and positions stay) {
  ended_turn();
  const auto bytes = log->held_bytes();
  log->drop_before(2);
  CAF_CHECK(log->held_bytes() < bytes);
  uint64_t position = 1;
  std::vector<event_ptr> out;
  CAF_CHECK(!log->read(position, out, 10));
  CAF_CHECK_EQUAL(read(2), indices({1, 2}));
  CAF_CHECK_EQUAL(log->at().base, 2u);
  log->drop_before(4);
  CAF_CHECK_EQUAL(log->held_bytes(), 0u);
  log->append_shown(begin(second), lease);
  CAF_CHECK_EQUAL(log->at().end, 5u);
  CAF_CHECK_EQUAL(read(4), indices({-1}));
}

CAF_TEST(a turn whose start was dropped has no first event and no place before what is held) {
  ended_turn();
  log->drop_before(2);
  CAF_CHECK(!log->first_of(first));
  CAF_CHECK_EQUAL(log->held_from(first).value_or(99), 1);
  CAF_CHECK(!log->behind({first, 1, cursor::turn_event}));
  CAF_CHECK(log->behind({first, 1, 0}) == uint64_t{2});
  CAF_CHECK(log->behind({first, 1, 1}) == uint64_t{3});
  CAF_CHECK(!log->held_from(second));
}

CAF_TEST(what is not shown or not committed is never dropped) {
  log->append_shown(begin(first), lease);
  log->append_chunk(chunk(first, 0), true, lease);
  chunks(first, 1, 2);
  log->drop_before(100);
  CAF_CHECK_EQUAL(log->at().base, 1u);
  CAF_CHECK_EQUAL(log->take(10).chunks.size(), 2u);
}

CAF_TEST(the logs of a node are one for each session of a tenant while somebody holds it) {
  runtime::session_logs logs;
  const auto session = some_session();
  auto log = logs.open(session);
  CAF_CHECK(logs.open(session) == log);
  CAF_CHECK(logs.open({session.kind, tenant_id{uuid::random()}, session.key}) != log);
  CAF_CHECK(logs.open({session.kind, session.tenant, uuid::random()}) != log);
  log->append_shown(begin(first), lease);
  log.reset();
  CAF_CHECK_EQUAL(logs.open(session)->at().end, 0u);
}

CAF_TEST(the logs that somebody reads are those with readers) {
  runtime::session_logs logs;
  const auto idle = logs.open(some_session());
  const auto followed = logs.open(some_session());
  followed->hubs = 2;
  CAF_CHECK(logs.read() == std::vector<runtime::log_ptr>{followed});
}

CAF_TEST_FIXTURE_SCOPE_END()
