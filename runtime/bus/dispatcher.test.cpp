#define CAF_SUITE dispatcher

#include "runtime/bus/dispatcher.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents::runtime::bus;
using namespace std::chrono_literals;
using kgents::runtime::breaker_state;

namespace {

constexpr lane_key lane(uint8_t number) {
  lane_key out{'k', {}};
  out.id.bytes[0] = number;
  return out;
}

/// A broker that keeps an id once, and a clock that only the test moves.
struct fixture {
  explicit fixture(dispatcher_limits with = {}) : out{with} { out.connected(now); }

  void offer(const lane_key& to, const std::string& id) {
    event x;
    x.subject = "kgent.session.x.chunk";
    x.id = id;
    x.kind = "chunk";
    x.done = [this, id](bool stored) { (stored ? told : dropped).push_back(id); };
    out.offer(to, std::move(x), now);
  }

  void offer(const lane_key& to, int from, int until) {
    for (int i = from; i < until; ++i)
      offer(to, std::to_string(i));
  }

  /// What is sent now, with the broker's answer outstanding.
  std::vector<uint64_t> send() {
    std::vector<uint64_t> tokens;
    for (const auto& x : out.due(now)) {
      tokens.push_back(x.token);
      sent.push_back(x.what->id);
      ids[x.token] = x.what->id;
    }
    return tokens;
  }

  void store(uint64_t token) {
    if (const auto& id = ids[token]; std::find(kept.begin(), kept.end(), id) == kept.end())
      kept.push_back(id);
    out.stored(token, now);
  }

  /// Until nothing more goes.
  void drain() {
    for (auto tokens = send(); !tokens.empty(); tokens = send())
      for (const auto token : tokens)
        store(token);
  }

  /// One attempt that fails, after the lane's pause.
  void fail() {
    now += 2s;
    out.tick(now);
    for (const auto token : send())
      out.failed(token, now);
  }

  dispatcher out;
  dispatcher::time_point now{1h};
  std::map<uint64_t, std::string> ids;
  std::vector<std::string> sent, kept, told, dropped;
};

std::vector<std::string> numbers(int from, int until) {
  std::vector<std::string> out;
  for (int i = from; i < until; ++i)
    out.push_back(std::to_string(i));
  return out;
}

}  // namespace

CAF_TEST(a lanes events go one by one in their order and many lanes at once) {
  fixture x;
  x.offer(lane(1), 0, 3);
  x.offer(lane(2), 10, 12);
  const auto first = x.send();
  CAF_CHECK_EQUAL(x.sent, (std::vector<std::string>{"0", "10"}));
  CAF_CHECK(x.send().empty());
  x.store(first[0]);
  x.send();
  CAF_CHECK_EQUAL(x.sent, (std::vector<std::string>{"0", "10", "1"}));
  CAF_CHECK_EQUAL(x.out.unacknowledged(), 2u);
  CAF_CHECK_EQUAL(x.out.waiting(lane(1)), 1u);
}

CAF_TEST(what failed goes again before what is newer after a pause and with its id) {
  fixture x;
  x.offer(lane(1), 0, 3);
  x.out.failed(x.send().front(), x.now);
  CAF_CHECK(x.send().empty());
  x.now += 250ms;
  x.out.tick(x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.sent, (std::vector<std::string>{"0", "0", "1", "2"}));
  CAF_CHECK_EQUAL(x.told, numbers(0, 3));
}

CAF_TEST(an acknowledgement that does not come within two seconds is a failure) {
  fixture x;
  x.offer(lane(1), "a");
  const auto token = x.send().front();
  x.now += 1999ms;
  x.out.tick(x.now);
  CAF_CHECK_EQUAL(x.out.failures(), 0u);
  x.now += 1ms;
  x.out.tick(x.now);
  CAF_CHECK_EQUAL(x.out.failures(), 1u);
  CAF_CHECK_EQUAL(x.out.take_failed(), 1u);
  // It comes late: the event is retried all the same, and the broker knows its id.
  x.store(token);
  x.now += 250ms;
  x.out.tick(x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.sent.size(), 2u);
  CAF_CHECK_EQUAL(x.kept, (std::vector<std::string>{"a"}));
}

CAF_TEST(five failures in a row open the breaker four and a success do not) {
  fixture x;
  x.offer(lane(1), 0, 10);
  for (int i = 0; i < 4; ++i)
    x.fail();
  CAF_CHECK(x.out.state() == breaker_state::closed);
  x.now += 2s;
  x.out.tick(x.now);
  x.store(x.send().front());
  for (auto token : x.send())
    x.out.failed(token, x.now);
  for (int i = 0; i < 3; ++i)
    x.fail();
  CAF_CHECK(x.out.state() == breaker_state::closed);
  x.fail();
  CAF_CHECK(x.out.state() == breaker_state::open);
}

CAF_TEST(an open breaker lets one probe through after thirty seconds and three close it) {
  fixture x;
  for (uint8_t i = 0; i < 6; ++i)
    x.offer(lane(i), 0, 2);
  for (auto token : x.send())
    x.out.failed(token, x.now);
  CAF_REQUIRE(x.out.state() == breaker_state::open);
  CAF_CHECK_EQUAL(x.out.failures(), 6u);
  x.now += 29s;
  x.out.tick(x.now);
  CAF_CHECK(x.send().empty());
  x.now += 1s;
  for (int i = 0; i < 3; ++i) {
    const auto probe = x.send();
    CAF_REQUIRE_EQUAL(probe.size(), 1u);
    CAF_CHECK(x.out.state() == breaker_state::half_open);
    x.store(probe.front());
  }
  CAF_CHECK(x.out.state() == breaker_state::closed);
  CAF_CHECK_EQUAL(x.out.failures(), 0u);
  x.drain();
  CAF_CHECK_EQUAL(x.out.waiting(), 0u);
  CAF_CHECK_EQUAL(x.told.size(), 12u);
}

CAF_TEST(a probe that fails or is lost with the connection opens it again) {
  for (const bool lost : {false, true}) {
    fixture x;
    x.offer(lane(1), 0, 2);
    for (int i = 0; i < 5; ++i)
      x.fail();
    x.now += 30s;
    x.out.tick(x.now);
    const auto probe = x.send();
    CAF_REQUIRE_EQUAL(probe.size(), 1u);
    if (lost) {
      x.out.disconnected(x.now);
      x.out.connected(x.now);
    } else {
      x.out.failed(probe.front(), x.now);
    }
    CAF_CHECK(x.out.state() == breaker_state::open);
    CAF_CHECK(x.send().empty());
    x.now += 30s;
    x.out.tick(x.now);
    x.drain();
    CAF_CHECK_EQUAL(x.told, numbers(0, 2));
  }
}

CAF_TEST(without a connection events wait which is no failure and go in order afterwards) {
  fixture x;
  x.offer(lane(1), 0, 3);
  x.store(x.send().front());
  x.send();  // "1" is under way
  x.out.disconnected(x.now);
  CAF_CHECK_EQUAL(x.out.unacknowledged(), 0u);
  CAF_CHECK_EQUAL(x.out.waiting(), 2u);
  x.offer(lane(1), 3, 5);
  CAF_CHECK(x.send().empty());
  CAF_CHECK_EQUAL(x.out.failures(), 0u);
  x.out.connected(x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.told, numbers(0, 5));
  CAF_CHECK_EQUAL(x.out.lanes(), 0u);
}

CAF_TEST(what the broker had stored before it went is kept once) {
  fixture x;
  x.offer(lane(1), 0, 3);
  const auto token = x.send().front();
  x.kept.push_back("0");  // stored, and its acknowledgement lost
  x.out.disconnected(x.now);
  x.out.stored(token, x.now);  // of a connection that is gone
  x.out.connected(x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.kept, numbers(0, 3));
  CAF_CHECK_EQUAL(x.sent, (std::vector<std::string>{"0", "0", "1", "2"}));
}

CAF_TEST(of 1010 events of a session the newest 1000 are kept and other sessions keep all) {
  fixture x;
  x.out.disconnected(x.now);
  x.offer(lane(1), 0, 1010);
  for (uint8_t i = 2; i < 6; ++i)
    x.offer(lane(i), 0, 3);
  CAF_CHECK_EQUAL(x.out.lanes(), 5u);
  CAF_CHECK_EQUAL(x.out.waiting(lane(1)), 1000u);
  CAF_CHECK_EQUAL(x.out.waiting(), 1012u);
  CAF_CHECK_EQUAL(x.out.take_dropped(), 10u);
  CAF_CHECK_EQUAL(x.dropped, numbers(0, 10));
  x.told.clear();
  x.out.connected(x.now);
  x.drain();
  std::vector<std::string> of_first;
  for (const auto& id : x.told)
    if (id.size() > 1)
      of_first.push_back(id);
  CAF_CHECK_EQUAL(of_first, numbers(10, 1010));
}

CAF_TEST(the event under way stays when its lane is full) {
  fixture x{{.ring_events = 3}};
  x.offer(lane(1), 0, 3);
  const auto token = x.send().front();
  x.offer(lane(1), 3, 5);
  CAF_CHECK_EQUAL(x.dropped, (std::vector<std::string>{"1", "2"}));
  x.store(token);
  x.drain();
  CAF_CHECK_EQUAL(x.told, (std::vector<std::string>{"0", "3", "4"}));
}

CAF_TEST(of too many sessions the one that was silent longest goes) {
  fixture x{{.lanes = 2}};
  x.out.disconnected(x.now);
  x.offer(lane(1), "a");
  x.offer(lane(2), "b");
  x.offer(lane(1), "c");
  x.offer(lane(3), "d");
  CAF_CHECK_EQUAL(x.dropped, (std::vector<std::string>{"b"}));
  CAF_CHECK_EQUAL(x.out.lanes(), 2u);
  x.out.connected(x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.told, (std::vector<std::string>{"a", "d", "c"}));
}

CAF_TEST(a probe under way stays when there are too many sessions so that the breaker hears of it) {
  fixture one{{.lanes = 1}};
  one.offer(lane(1), "0");
  for (int i = 0; i < 5; ++i)
    one.fail();
  CAF_CHECK(one.out.state() == breaker_state::open);
  one.now += 30s;
  one.out.tick(one.now);
  const auto probe = one.send();
  CAF_REQUIRE_EQUAL(probe.size(), 1u);
  one.offer(lane(2), "1");
  CAF_CHECK(one.out.waiting(lane(2)) == 0u);
  one.store(probe[0]);
  one.offer(lane(3), "2");
  one.drain();
  CAF_CHECK_EQUAL(one.kept, (std::vector<std::string>{"0", "2"}));
}

CAF_TEST(the bytes of all sessions have one bound) {
  const auto one = event{"kgent.session.x.chunk", "a", "", "", {}, {}}.bytes();
  fixture x{{.ring_bytes = 3 * one}};
  x.out.disconnected(x.now);
  for (const char* id : {"a", "b", "c"})
    x.offer(lane(static_cast<uint8_t>(id[0])), id);
  CAF_CHECK(x.dropped.empty());
  x.offer(lane('c'), "d");
  CAF_CHECK_EQUAL(x.dropped, (std::vector<std::string>{"a"}));
  CAF_CHECK_EQUAL(x.out.bytes(), 3 * one);
}

CAF_TEST(events older than ten minutes are not published any more and their queue goes) {
  fixture x;
  x.out.disconnected(x.now);
  x.offer(lane(1), "old");
  x.now += 6min;
  x.offer(lane(1), "new");
  x.offer(lane(2), "other");
  x.now += 5min;
  x.out.connected(x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.dropped, (std::vector<std::string>{"old"}));
  CAF_CHECK_EQUAL(x.told.size(), 2u);

  x.out.disconnected(x.now);
  x.offer(lane(3), "idle");
  x.now += 11min;
  x.out.tick(x.now);
  CAF_CHECK_EQUAL(x.out.lanes(), 0u);
  CAF_CHECK_EQUAL(x.out.bytes(), 0u);
}

CAF_TEST(no more than a thousand are unacknowledged) {
  fixture x{{.unacknowledged = 2}};
  for (uint8_t i = 0; i < 5; ++i)
    x.offer(lane(i), std::to_string(i));
  const auto first = x.send();
  CAF_CHECK_EQUAL(first.size(), 2u);
  x.store(first[1]);
  CAF_CHECK_EQUAL(x.send().size(), 1u);
  CAF_CHECK_EQUAL(dispatcher_limits{}.unacknowledged, 1000u);
}

CAF_TEST(an event that the broker will never take is dropped and holds up nothing) {
  fixture x;
  x.offer(lane(1), 0, 2);
  x.out.rejected(x.send().front(), x.now);
  x.drain();
  CAF_CHECK_EQUAL(x.dropped, numbers(0, 1));
  CAF_CHECK_EQUAL(x.told, numbers(1, 2));
  CAF_CHECK(x.out.state() == breaker_state::closed);
}

CAF_TEST(what is cleared says so) {
  fixture x;
  x.offer(lane(1), 0, 2);
  x.send();
  x.out.clear();
  CAF_CHECK_EQUAL(x.dropped, numbers(0, 2));
  CAF_CHECK_EQUAL(x.out.unacknowledged(), 0u);
  CAF_CHECK(x.send().empty());
}
