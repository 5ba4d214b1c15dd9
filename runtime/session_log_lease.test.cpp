#define CAF_SUITE session_log_lease

#include "runtime/session_log_fixture.test.hpp"

using namespace kgents;
using namespace kgents::runtime::test;
using runtime::session_log;

CAF_TEST_FIXTURE_SCOPE(session_log_lease_tests, session_log_fixture)

CAF_TEST(who begins under an older lease is refused and the writer stays) {
  const auto start = session_log::start::anywhere;
  CAF_CHECK(log->begin(5, {}, start));
  CAF_CHECK(!log->begin(4, {}, start));
  CAF_CHECK_EQUAL(log->lease(), 5u);
  log->append_shown(begin(first), 5);
  CAF_CHECK_EQUAL(read(0), indices({-1}));
  CAF_CHECK(log->begin(5, {}, start));  // the next activation on the same node
  CAF_CHECK(log->begin(6, {}, start));
}

CAF_TEST(what comes under another lease than the newest is dropped) {
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  log->append_shown(begin(first), 4);
  log->append_chunk(chunk(first, 0), true, 4);
  log->append_shown(begin(first), 6);
  CAF_CHECK_EQUAL(log->at().end, 0u);
  CAF_CHECK_EQUAL(log->held_bytes(), 0u);
  CAF_CHECK_EQUAL(tally.load(), 0u);
  log->append_shown(begin(first), 5);
  CAF_CHECK_EQUAL(log->at().end, 1u);
}

CAF_TEST(after another owner every reader has to find its place anew) {
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  log->append_shown(begin(first), 5);
  log->append_chunk(chunk(first, 0), true, 5);
  const auto before = log->at();
  CAF_CHECK(log->begin(6, {}, session_log::start::anywhere));
  for (uint64_t position = 0; position <= before.end; ++position) {
    auto at = position;
    std::vector<event_ptr> out;
    CAF_CHECK(!log->read(at, out, 10));  // also one that had read everything
  }
  CAF_CHECK_EQUAL(log->at().base, log->at().end);
  CAF_CHECK(!log->last_place());
  CAF_CHECK(!log->behind({first, 1, cursor::turn_event}));
  CAF_CHECK_EQUAL(log->held_bytes(), 0u);
  CAF_CHECK_EQUAL(tally.load(), 0u);
}

CAF_TEST(a log is outdated by a newer lease only and its old writer is heard no more) {
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  log->append_shown(begin(first), 5);
  CAF_CHECK(!log->outdate(5));
  CAF_CHECK(!log->outdate(4));
  CAF_CHECK_EQUAL(read(0), indices({-1}));
  CAF_CHECK(log->outdate(6));
  uint64_t position = 1;
  std::vector<event_ptr> out;
  CAF_CHECK(!log->read(position, out, 10));
  log->append_shown(begin(first), 5);
  CAF_CHECK_EQUAL(log->at().base, log->at().end);
  // Its activation moves nobody once more.
  const auto base = log->at().base;
  CAF_CHECK(log->begin(6, {}, session_log::start::anywhere));
  CAF_CHECK_EQUAL(log->at().base, base);
}

CAF_TEST(the next activation under the same lease moves no reader) {
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  log->append_shown(begin(first), 5);
  log->append_chunk(chunk(first, 0), false, 5);
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  CAF_CHECK_EQUAL(read(0), indices({-1}));
  CAF_CHECK_EQUAL(log->at().end, 1u);  // what was never shown is forgotten
}

CAF_TEST(a writer that goes on behind the last event moves no reader) {
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  log->append_shown(begin(first), 5);
  log->append_chunk(chunk(first, 0), false, 5);
  CAF_CHECK(log->begin(6, {}, session_log::start::behind));
  CAF_CHECK(log->last_place() == (cursor{first, 1, cursor::turn_event}));
  log->append_shown(chunk(first, 0), 6);
  CAF_CHECK_EQUAL(read(0), indices({-1, 0}));
}

CAF_TEST(the take of a writer that was replaced carries its lease and moves nothing) {
  CAF_CHECK(log->begin(5, {}, session_log::start::anywhere));
  log->append_chunk(chunk(first, 0), false, 5);
  const auto old = log->take(10);
  CAF_CHECK_EQUAL(old.lease, 5u);
  CAF_CHECK(log->begin(6, {}, session_log::start::anywhere));
  log->append_chunk(chunk(first, 0), false, 6);
  CAF_CHECK(!log->committed(old.take, true));
  CAF_CHECK(!log->all_committed());
  CAF_CHECK_EQUAL(log->take(10).lease, 6u);
}

CAF_TEST(the place before the first event is known when somebody says it) {
  const cursor before{first, 1, 2};
  CAF_CHECK(!log->last_place());
  CAF_CHECK(!log->place_before(0));
  log->begin_behind(before);
  CAF_CHECK(log->last_place() == before);
  CAF_CHECK(log->place_before(0) == before);
  CAF_CHECK(log->behind(before) == uint64_t{0});
  CAF_CHECK(log->behind({first, 9, 2}) == uint64_t{0});  // the epoch places nobody
  CAF_CHECK(!log->behind({first, 1, 1}));
  log->begin_behind({second, 1, 0});  // too late
  CAF_CHECK(log->last_place() == before);
  log->append_shown(begin(second), lease);
  CAF_CHECK(log->place_before(0) == before);
  CAF_CHECK(log->place_before(1) == (cursor{second, 1, cursor::turn_event}));
  CAF_CHECK(!log->place_before(2));
  CAF_CHECK(log->last_place() == (cursor{second, 1, cursor::turn_event}));
}

CAF_TEST(a log that holds events is told no place before them) {
  log->append_shown(begin(first), lease);
  log->begin_behind({second, 1, 3});
  CAF_CHECK(!log->place_before(0));
}

CAF_TEST(what was dropped last is the place before what is held) {
  ended_turn();
  log->drop_before(2);
  CAF_CHECK(log->place_before(2) == (cursor{first, 1, 0}));
  CAF_CHECK(!log->place_before(1));
  log->drop_before(4);
  CAF_CHECK(log->last_place() == (cursor{first, 1, 2}));
  CAF_CHECK(log->behind({first, 1, 2}) == uint64_t{4});
}

CAF_TEST(the last place is that of what is shown) {
  log->append_shown(begin(first), lease);
  chunks(first, 0, 2);
  CAF_CHECK(log->last_place() == (cursor{first, 1, cursor::turn_event}));
  commit();
  CAF_CHECK(log->last_place() == (cursor{first, 1, 1}));
}

CAF_TEST(a turn is open from its first event to its last) {
  CAF_CHECK(!log->open_turn());
  log->append_shown(begin(first), lease);
  CAF_CHECK(log->open_turn() == first);
  chunks(first, 0, 1);
  commit();
  CAF_CHECK(log->open_turn() == first);
  log->append_shown(end(first, 1), lease);
  CAF_CHECK(!log->open_turn());
  log->append_shown(begin(second), lease);
  CAF_CHECK(log->open_turn() == second);
  log->append_shown(make_error_event(second, 1, 0, {}), lease);
  CAF_CHECK(!log->open_turn());
}

CAF_TEST(a log is outdated for another lease but not behind the back of its writer) {
  log->begin(5, {}, session_log::start::anywhere);
  log->append_shown(begin(first), 5);
  CAF_CHECK(!log->outdate(4));
  CAF_CHECK(!log->outdate(5));
  CAF_CHECK_EQUAL(read(0), std::vector<int64_t>{cursor::turn_event});
  CAF_CHECK(log->outdate(6));
  uint64_t position = 1;
  std::vector<event_ptr> out;
  CAF_CHECK(!log->read(position, out, 1));  // every reader finds its place anew
  CAF_CHECK(!log->last_place());
  log->append_shown(begin(first), 5);
  CAF_CHECK_EQUAL(log->at().end, log->at().base);
  log->begin(6, {}, session_log::start::anywhere);
  log->append_chunk(chunk(first, 0), false, 6);
  CAF_CHECK(!log->outdate(6));  // came late: the session writes already
  CAF_CHECK_EQUAL(log->take(10).chunks.size(), 1u);
}

CAF_TEST(a place that a gap has made void is not found) {
  log->append_shown(begin(first), lease);
  for (chunk_index i = 0; i < 4; ++i)
    log->append_shown(chunk(first, i), lease);
  log->append_shown(make_gap_event({first, 2, 1}), lease);  // 2 and 3 were lost
  for (chunk_index i = 2; i < 6; ++i)
    log->append_shown(make_chunk_event(first, 2, i, "anew"), lease);
  CAF_CHECK(!log->behind({first, 1, 3}));
  CAF_CHECK(log->behind({first, 1, 1}));
  CAF_CHECK(log->behind({first, 2, 3}) == log->at().end - 2);
}

CAF_TEST_FIXTURE_SCOPE_END()
