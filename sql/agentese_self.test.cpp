// needs: postgres
#define CAF_SUITE agentese_self

#include "sql/agentese_self.hpp"

#include "sql/agentese_aliases.hpp"
#include "sql/agentese_chats.hpp"
#include "sql/agentese_figures.hpp"
#include "sql/agentese_tokens.hpp"
#include "sql/self_fixture.test.hpp"

using namespace kgents;
using namespace kgents::sql;

namespace {

struct fixture : self_fixture {
  decision_id yield(std::optional<std::string> deadline = std::nullopt) {
    decision x;
    x.id = decision_id{uuid::time_ordered()};
    x.reason = "approval_needed";
    x.prompt = "Really?";
    x.options = R"(["yes","no"])";
    x.severity = "info";
    x.deadline = std::move(deadline);
    x.asked_by = "ann";
    CAF_CHECK_EQUAL(ask(agentese_tokens::create(a, x)).prompt, "Really?");
    return x.id;
  }
  std::string status(decision_id id) {
    const auto x = ask(agentese_tokens::get(a, id));
    return x ? std::string{x->status()} : "none";
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_self_tests, fixture)

CAF_TEST(a name has the value that was put last and only for its tenant) {
  (void)ask(agentese_self::put(a, "x", "[1]"));
  (void)ask(agentese_self::put(a, "x", "[1, 2]"));
  CAF_CHECK_EQUAL(ask(agentese_self::get(a, "x")).value_or(""), "[1, 2]");
  CAF_CHECK(!ask(agentese_self::get(b, "x")));
  const auto room = ask(agentese_self::room(a, "y"));
  CAF_CHECK_EQUAL(room.count, 1u);
  CAF_CHECK(!room.value);
  CAF_CHECK_EQUAL(room.bytes, 6u);
  CAF_CHECK_EQUAL(ask(agentese_self::room(a, "x")).bytes, 0u);
  CAF_CHECK_EQUAL(ask(agentese_self::room(a, "x")).value.value_or(""), "[1, 2]");
}

CAF_TEST(a checkpoint brings back what was there and leaves the users own alone) {
  (void)ask(agentese_self::put(a, "kept", "1"));
  (void)ask(agentese_self::put(a, "changed", "1"));
  (void)ask(agentese_self::put(a, "soul/ann", R"({"mode":"reflect"})"));
  const auto first = ask(
      agentese_self::add_checkpoint(a, "state", "", "snapshot_", R"({"kept":1,"changed":1})", 3));
  CAF_CHECK_EQUAL(first.label, "snapshot_1");
  (void)ask(agentese_self::put(a, "changed", "2"));
  (void)ask(agentese_self::put(a, "added", "3"));
  (void)ask(agentese_self::put(a, "soul/ann", R"({"mode":"explore"})"));
  const auto found = ask(agentese_self::checkpoint(a, "state", first.number));
  CAF_REQUIRE(found.has_value());
  (void)ask(agentese_self::replace_state(a, found->content));
  const auto now = ask(agentese_self::state(a));
  CAF_REQUIRE_EQUAL(now.size(), 2u);
  CAF_CHECK_EQUAL(now[0].first, "changed");
  CAF_CHECK_EQUAL(now[0].second, "1");
  CAF_CHECK_EQUAL(ask(agentese_self::get(a, "soul/ann")).value_or(""), R"({"mode": "explore"})");
}

CAF_TEST(only the newest checkpoints of a subject stay) {
  for (int i = 0; i < 5; ++i)
    (void)ask(
        agentese_self::add_checkpoint(a, "memory", i == 4 ? "named" : "", "checkpoint_", "{}", 3));
  (void)ask(agentese_self::add_checkpoint(a, "state", "", "snapshot_", "{}", 3));
  const auto all = ask(agentese_self::checkpoints(a, "memory"));
  CAF_REQUIRE_EQUAL(all.size(), 3u);
  CAF_CHECK_EQUAL(all[0].label, "checkpoint_3");
  CAF_CHECK_EQUAL(all[2].label, "named");
  CAF_CHECK_EQUAL(ask(agentese_self::checkpoints(a, "state")).size(), 1u);
  CAF_CHECK(ask(agentese_self::checkpoints(b, "memory")).empty());
}

CAF_TEST(a token is settled once) {
  const auto one = yield();
  const auto two = yield();
  CAF_CHECK_EQUAL(ask(agentese_tokens::pending_count(a)), 2u);
  CAF_CHECK(!ask(agentese_tokens::get(b, one)));
  CAF_CHECK(!ask(agentese_tokens::resolve(b, one, "\"yes\"")));
  CAF_CHECK(ask(agentese_tokens::resolve(a, one, "\"yes\"")));
  CAF_CHECK(!ask(agentese_tokens::resolve(a, one, "\"no\"")));
  CAF_CHECK(!ask(agentese_tokens::cancel(a, one)));
  CAF_CHECK(ask(agentese_tokens::cancel(a, two)));
  CAF_CHECK_EQUAL(status(one), "resolved");
  CAF_CHECK_EQUAL(status(two), "cancelled");
  CAF_CHECK_EQUAL(ask(agentese_tokens::get(a, one))->human_input.value_or(""), "\"yes\"");
  CAF_CHECK(ask(agentese_tokens::list(a, true, 10)).empty());
  CAF_CHECK_EQUAL(ask(agentese_tokens::list(a, false, 10)).size(), 2u);
}

CAF_TEST(a token is void after its deadline whether or not it was voided) {
  const auto late = yield("2020-01-01T00:00:00Z");
  const auto open = yield("2999-01-01T00:00:00Z");
  CAF_CHECK_EQUAL(status(late), "voided");
  CAF_CHECK(!ask(agentese_tokens::resolve(a, late, "1")));
  CAF_CHECK_EQUAL(ask(agentese_tokens::pending_count(a)), 1u);
  const auto gone = ask(agentese_tokens::void_expired(a, 10));
  CAF_REQUIRE_EQUAL(gone.size(), 1u);
  CAF_CHECK(gone[0] == late);
  CAF_CHECK(ask(agentese_tokens::void_expired(a, 10)).empty());
  CAF_CHECK_EQUAL(status(late), "voided");
  CAF_CHECK_EQUAL(status(open), "pending");
}

CAF_TEST(an alias is replaced and removed and may have no target) {
  (void)ask(agentese_aliases::set(a, "boat", "world.boat"));
  (void)ask(agentese_aliases::set(a, "boat", "world.ship"));
  (void)ask(agentese_aliases::set(a, "me", std::nullopt));
  CAF_CHECK_EQUAL(ask(agentese_aliases::get(a, "boat"))->second.value_or(""), "world.ship");
  CAF_CHECK(!ask(agentese_aliases::get(a, "me"))->second);
  CAF_CHECK(!ask(agentese_aliases::get(b, "boat")));
  CAF_CHECK_EQUAL(ask(agentese_aliases::list(a)).size(), 2u);
  (void)ask(agentese_aliases::remove(a, "boat"));
  CAF_CHECK(!ask(agentese_aliases::get(a, "boat")));
}

CAF_TEST(a chat keeps its lines in order until they leave the window) {
  CAF_CHECK_EQUAL(ask(agentese_chats::get(a, "ann", 10)).turns, 0u);
  for (int i = 1; i <= 3; ++i) {
    const chat_turn x{.user = "q" + std::to_string(i),
                      .assistant = "a" + std::to_string(i),
                      .summary = i == 3 ? "of one" : "",
                      .left_upto = i == 3 ? 1u : 0u};
    CAF_CHECK_EQUAL(ask(agentese_chats::add(a, "ann", x)), static_cast<uint64_t>(i));
  }
  const auto x = ask(agentese_chats::get(a, "ann", 10));
  CAF_CHECK_EQUAL(x.turns, 3u);
  CAF_CHECK_EQUAL(x.summary, "of one");
  CAF_REQUIRE_EQUAL(x.lines.size(), 4u);
  CAF_CHECK_EQUAL(x.lines[0].content, "q2");
  CAF_CHECK_EQUAL(x.lines[1].content, "a2");
  CAF_CHECK_EQUAL(x.lines[3].content, "a3");
  CAF_CHECK_EQUAL(ask(agentese_chats::get(a, "bob", 10)).turns, 0u);
  CAF_CHECK_EQUAL(ask(agentese_chats::get(b, "ann", 10)).turns, 0u);
}

CAF_TEST(the figures are those of the tenant) {
  (void)ask(agentese_aliases::set(a, "boat", "world.boat"));
  (void)yield();
  const auto x = ask(agentese_figures::counts(a));
  CAF_CHECK_EQUAL(x.pending_decisions, 1u);
  CAF_CHECK_EQUAL(x.memories, 0u);
  CAF_CHECK_EQUAL(ask(agentese_figures::counts(b)).pending_decisions, 0u);
  const auto signs = ask(agentese_figures::vitals(a));
  CAF_CHECK(!signs.in_recovery);
  CAF_CHECK_EQUAL(signs.invocations, 0u);
  CAF_CHECK(!signs.idle_seconds);
}

CAF_TEST_FIXTURE_SCOPE_END()
