#pragma once

#include <caf/event_based_actor.hpp>

#include "runtime/session_log.hpp"

#include <caf/test/dsl.hpp>

/// One session's log and what a turn puts into it.
namespace kgents::runtime::test {

inline const turn_id first{*uuid::parse("0193a5b0-0000-7000-8000-000000000001")};
inline const turn_id second{*uuid::parse("0193a5b0-0000-7000-8000-000000000002")};

inline constexpr lease_epoch lease = 0;  // what every node has outside a cluster

inline entity_id some_session() {
  return session_entity(tenant_id{uuid::random()}, session_id{uuid::random()});
}

inline event_ptr begin(turn_id turn) { return make_turn_event(turn, 1, {}, "reflect"); }
inline event_ptr chunk(turn_id turn, chunk_index i) {
  return make_chunk_event(turn, 1, i, "text " + std::to_string(i));
}
inline event_ptr end(turn_id turn, chunk_index chunks) {
  return make_complete_event(turn, 1, chunks, {});
}

struct session_log_fixture : test_coordinator_fixture<> {
  std::atomic<size_t> tally{0};
  std::optional<session_log> log{std::in_place, some_session(), tally};

  /// What a reader at `position` sees: the indices of the events.
  std::vector<int64_t> read(uint64_t position, size_t max = 100) {
    std::vector<event_ptr> out;
    CAF_REQUIRE(log->read(position, out, max));
    std::vector<int64_t> indices;
    for (const auto& x : out)
      indices.push_back(x->place().index);
    return indices;
  }

  void chunks(turn_id turn, chunk_index from, chunk_index to) {
    for (auto i = from; i < to; ++i)
      log->append_chunk(chunk(turn, i), false, lease);
  }

  void commit() {
    const auto taken = log->take(1000);
    CAF_CHECK(!log->committed(taken.take, true));
  }

  /// A turn that has ended, in positions 0 to 3.
  void ended_turn() {
    log->append_shown(begin(first), lease);
    chunks(first, 0, 2);
    commit();
    log->append_shown(end(first, 2), lease);
  }
};

using indices = std::vector<int64_t>;

}  // namespace kgents::runtime::test
