#define CAF_SUITE memory_store

#include "runtime/idempotency/memory_store.hpp"

#include <caf/test/unit_test.hpp>

using namespace kgents::runtime::idempotency;
using namespace std::chrono_literals;

namespace {

struct fixture {
  memory_store store{3, 1000};
  memory_store::time_point now{};

  claim_state claim(std::string_view id, std::string token) {
    return store.claim(id, std::move(token), now, 300s).state;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(memory_store_tests, fixture)

CAF_TEST(the first claim wins and the answer is kept for those who ask later) {
  CAF_CHECK(claim("a", "one") == claim_state::fresh);
  CAF_CHECK(claim("a", "two") == claim_state::in_progress);
  store.complete("a", "one", "text", now, 10s);
  const auto known = store.claim("a", "three", now + 9s, 300s);
  CAF_CHECK(known.state == claim_state::done);
  CAF_CHECK_EQUAL(known.answer, "text");
  CAF_CHECK(store.claim("a", "four", now + 10s, 300s).state == claim_state::fresh);
}

CAF_TEST(a released claim can be made again and a strangers token releases nothing) {
  CAF_CHECK(claim("a", "one") == claim_state::fresh);
  store.release("a", "two");
  CAF_CHECK(claim("a", "two") == claim_state::in_progress);
  store.release("a", "one");
  CAF_CHECK(claim("a", "two") == claim_state::fresh);
}

CAF_TEST(a claim whose holder died is made again after its time and the late holder changes nothing) {
  CAF_CHECK(claim("a", "dead") == claim_state::fresh);
  now += 299s;
  CAF_CHECK(claim("a", "heir") == claim_state::in_progress);
  now += 1s;
  CAF_CHECK(claim("a", "heir") == claim_state::fresh);
  store.complete("a", "dead", "late", now, 10s);
  CAF_CHECK(claim("a", "x") == claim_state::in_progress);
  store.complete("a", "heir", "right", now, 10s);
  CAF_CHECK_EQUAL(store.claim("a", "x", now, 1s).answer, "right");
}

CAF_TEST(a claim that ran out and was made by nobody else is completed by its holder) {
  CAF_CHECK(claim("a", "slow") == claim_state::fresh);
  now += 400s;
  store.complete("a", "slow", "text", now, 10s);
  CAF_CHECK(claim("a", "x") == claim_state::done);
}

CAF_TEST(the oldest go first when there are too many or too much) {
  for (const auto* id : {"a", "b", "c", "d"})
    CAF_CHECK(claim(id, "t") == claim_state::fresh);
  CAF_CHECK_EQUAL(store.entries(), 3u);
  CAF_CHECK(claim("b", "t") == claim_state::in_progress);
  store.complete("b", "t", std::string(999, 'x'), now, 10s);
  CAF_CHECK_EQUAL(store.entries(), 1u);
  CAF_CHECK_EQUAL(store.bytes(), 1000u);
  CAF_CHECK(claim("b", "t") == claim_state::done);
  CAF_CHECK(claim("c", "t") == claim_state::fresh);
  CAF_CHECK(store.bytes() <= 1000u);
}

CAF_TEST_FIXTURE_SCOPE_END()
