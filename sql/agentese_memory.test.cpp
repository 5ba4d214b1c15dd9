// needs: postgres
#define CAF_SUITE agentese_memory

#include "sql/agentese_memory.hpp"

#include <cmath>

#include "sql/agentese_concept_memory.hpp"
#include "sql/agentese_crystals.hpp"
#include "sql/self_fixture.test.hpp"

using namespace kgents;
using namespace kgents::sql;

namespace {

struct fixture : self_fixture {
  void put(std::string key, std::string text, double relevance = 1.0, bool temporary = false) {
    new_memory x{.key = std::move(key), .value = "\"" + text + "\"", .content = text};
    x.relevance = relevance;
    x.temporary = temporary;
    CAF_REQUIRE(ask(agentese_memory::put(a, x)));
  }
  std::string found(std::string_view text) {
    std::string out;
    for (const auto& x : ask(agentese_memory::search(a, text, 10)))
      out.append(out.empty() ? "" : " ").append(x.key);
    return out;
  }
  void set_expiry(crystal_id id, std::string_view when) {
    (void)admin("UPDATE kg.agentese_crystals SET expires_at = now() + interval '" +
                std::string{when} + "' WHERE crystal_id = '" + id.text() + "' RETURNING 1");
  }
};

bool near(double a, double b) { return std::abs(a - b) < 1e-4; }

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_memory_tests, fixture)

CAF_TEST(what is put is recalled until it is removed and by its tenant alone) {
  put("boat", "Ariel");
  CAF_CHECK_EQUAL(ask(agentese_memory::get(a, "boat")).value_or(""), "\"Ariel\"");
  CAF_CHECK(!ask(agentese_memory::get(b, "boat")));
  CAF_CHECK(ask(agentese_memory::search(b, "ariel", 10)).empty());
  put("boat", "Calypso");
  CAF_CHECK_EQUAL(ask(agentese_memory::get(a, "boat")).value_or(""), "\"Calypso\"");
  CAF_CHECK(!ask(agentese_memory::remove(b, "boat")));
  CAF_CHECK(ask(agentese_memory::remove(a, "boat")));
  CAF_CHECK(!ask(agentese_memory::remove(a, "boat")));
}

CAF_TEST(search finds parts of keys and values in any case and takes them as they are) {
  put("notes/boat", "The Ariel is 100% ours");
  put("wind", "steady_west");
  CAF_CHECK_EQUAL(found("ARIEL"), "notes/boat");
  CAF_CHECK_EQUAL(found("s/bo"), "notes/boat");
  CAF_CHECK_EQUAL(found("0% o"), "notes/boat");
  CAF_CHECK_EQUAL(found("y_w"), "wind");
  CAF_CHECK_EQUAL(found("y%w"), "");
  CAF_CHECK_EQUAL(found("nothing like it"), "");
}

CAF_TEST(where no part fits the words decide and the best comes first) {
  put("one", "boats sail; sailing boats are boats");
  put("two", "a boat");
  put("three", "a house");
  CAF_CHECK_EQUAL(found("sails boat"), "one");
  CAF_CHECK_EQUAL(found("boated or sailed"), "one two");
}

CAF_TEST(a search of many memories goes through the index) {
  (void)admin("INSERT INTO kg.memories (id, tenant_id, agent_id, content) SELECT 'm' || n, '" +
              a.text() + "', 'self', md5(n::text) FROM generate_series(1, 10000) n RETURNING 1");
  put("needle", "a needle in a haystack");
  // As autovacuum does: until then new entries are in a list that is searched as a whole.
  (void)admin("VACUUM ANALYZE kg.memories");
  CAF_CHECK_EQUAL(found("needle in"), "needle");
  // A backend tells of its scans when it ends, which the pool does not wait for.
  app.stop();
  blocking_connection look{self_database() + " user=postgres"};
  const auto scanned = [&] {
    const auto rows = look.query(
        "SELECT 1 FROM pg_stat_user_indexes WHERE indexrelname = 'idx_memories_text' "
        "AND idx_scan > 0");
    return PQntuples(rows.get()) == 1;
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  bool seen = scanned();
  while (!seen && std::chrono::steady_clock::now() < until)
    seen = scanned();
  CAF_CHECK(seen);
}

CAF_TEST(keys come newest first with their total) {
  put("old", "x");
  put("new", "x");
  const auto x = ask(agentese_memory::keys(a, 1));
  CAF_CHECK_EQUAL(x.total, 2u);
  CAF_REQUIRE_EQUAL(x.keys.size(), 1u);
  CAF_CHECK_EQUAL(x.keys[0], "new");
  CAF_CHECK_EQUAL(ask(agentese_memory::keys(b, 5)).total, 0u);
}

CAF_TEST(a memory of another agent is neither shown nor replaced) {
  (void)admin("INSERT INTO kg.memories (id, tenant_id, agent_id, content) VALUES ('theirs', '" +
              a.text() + "', 'other', 'x') RETURNING 1");
  CAF_CHECK(!ask(agentese_memory::get(a, "theirs")));
  const auto room = ask(agentese_memory::room(a, "theirs"));
  CAF_CHECK(room.exists);
  CAF_CHECK(room.of_another_agent);
  CAF_CHECK_EQUAL(room.count, 0u);
  CAF_CHECK(!ask(agentese_memory::put(a, {.key = "theirs", .value = "1", .content = "1"})));
}

CAF_TEST(consolidating keeps what was temporary and pruning drops what is least relevant) {
  put("firm", "x");
  put("loose", "x", 1.0, true);
  put("faint", "x", 0.05);
  const auto kept = ask(agentese_memory::consolidate(a));
  CAF_CHECK_EQUAL(kept.changed, 1u);
  CAF_CHECK_EQUAL(kept.left, 3u);
  CAF_CHECK_EQUAL(ask(agentese_memory::consolidate(a)).changed, 0u);
  const auto pruned = ask(agentese_memory::prune(a, 0.1));
  CAF_CHECK_EQUAL(pruned.changed, 1u);
  CAF_CHECK_EQUAL(pruned.left, 2u);
}

CAF_TEST(a crystal comes back until it expires or as long as it is pinned) {
  crystal x;
  x.id = crystal_id{uuid::random()};
  x.agent = "ann";
  x.task_id = "t";
  x.task_status = "active";
  x.progress = 0.25;
  x.window = R"(["one","two"])";
  x.working_memory = R"({"a":1})";
  x.preserved = 2;
  CAF_CHECK(!ask(agentese_crystals::create(a, x, 3'600)).empty());
  const auto back = ask(agentese_crystals::get(a, x.id));
  CAF_REQUIRE(back.has_value());
  CAF_CHECK_EQUAL(back->progress, 0.25);
  CAF_CHECK_EQUAL(back->task_id, "t");
  CAF_CHECK(!ask(agentese_crystals::get(b, x.id)));
  CAF_CHECK_EQUAL(ask(agentese_crystals::expiring(a, 7'200, 10)).size(), 1u);
  CAF_CHECK_EQUAL(ask(agentese_crystals::expiring(a, 60, 10)).size(), 0u);
  CAF_CHECK(ask(agentese_crystals::pin(a, x.id, true)));
  set_expiry(x.id, "-1 hour");
  CAF_CHECK(ask(agentese_crystals::get(a, x.id)).has_value());
  CAF_CHECK(ask(agentese_crystals::reap(a, 10)).gone.empty());
  CAF_CHECK(ask(agentese_crystals::pin(a, x.id, false)));
  CAF_CHECK(!ask(agentese_crystals::get(a, x.id)));
  const auto reaped = ask(agentese_crystals::reap(a, 10));
  CAF_CHECK_EQUAL(reaped.gone.size(), 1u);
  CAF_CHECK_EQUAL(reaped.left, 0u);
}

CAF_TEST(contents are found by the cosine of their vectors) {
  namespace concepts = agentese_concept_memory;
  const std::vector<float> east{1, 0};
  const std::vector<float> north{0, 1};
  const std::vector<float> north_east{0.70710678f, 0.70710678f};
  CAF_CHECK_EQUAL(ask(concepts::put(a, "east", "e", 1, east, std::nullopt)), 1.0);
  CAF_CHECK_EQUAL(ask(concepts::put(a, "north", "n", 1, north, std::optional{east})), 1.0);
  const auto by_text = ask(concepts::like(a, north_east, true, 0.5, 10));
  CAF_REQUIRE_EQUAL(by_text.size(), 2u);
  CAF_CHECK(near(by_text[0].similarity, 0.70710678));
  const auto only = ask(concepts::like(a, east, true, 0.5, 10));
  CAF_REQUIRE_EQUAL(only.size(), 1u);
  CAF_CHECK_EQUAL(only[0].id, "east");
  const auto by_embedding = ask(concepts::like(a, east, false, 0.5, 10));
  CAF_REQUIRE_EQUAL(by_embedding.size(), 1u);
  CAF_CHECK_EQUAL(by_embedding[0].id, "north");
  // A cue of another space is like nothing.
  CAF_CHECK(ask(concepts::like(a, {1, 0, 0}, false, -1, 10)).empty());
  CAF_CHECK(ask(concepts::like(b, east, true, -1, 10)).empty());
}

CAF_TEST(resolutions are scaled within their bounds) {
  namespace concepts = agentese_concept_memory;
  (void)ask(concepts::put(a, "x", "x", 1, {1}, std::nullopt));
  (void)ask(concepts::put(a, "y", "y", 1, {1}, std::nullopt));
  CAF_CHECK(near(ask(concepts::rescale(a, "x", 1.2)).value_or(0), 1.2));
  CAF_CHECK(!ask(concepts::rescale(a, "z", 1.2)));
  const auto all = ask(concepts::rescale_all(a, 0.5));
  CAF_CHECK_EQUAL(all.count, 2u);
  CAF_CHECK(near(all.mean_resolution, 0.55));
  CAF_CHECK_EQUAL(ask(concepts::rescale_each(a, {"x", "odd \"name\""}, {100.0, 1.0})), 1u);
  CAF_CHECK_EQUAL(ask(concepts::get(a, "x"))->resolution, concepts::largest_resolution);
  // Stored again, it keeps its resolution.
  CAF_CHECK_EQUAL(ask(concepts::put(a, "x", "new", 1, {1}, std::nullopt)),
                  concepts::largest_resolution);
}

CAF_TEST(traces add up and fade) {
  namespace concepts = agentese_concept_memory;
  const auto leave = [&](std::string name, double intensity, std::string who) {
    new_trace x;
    x.id = uuid::random();
    x.concept_name = std::move(name);
    x.intensity = intensity;
    x.depositor = std::move(who);
    (void)ask(concepts::deposit(a, x));
    return x.id;
  };
  (void)leave("wind", 1, "ann");
  (void)leave("wind", 2, "bob");
  const auto old = leave("rain", 5, "ann");
  (void)admin(
      "UPDATE kg.agentese_traces SET deposited_at = now() - interval '10 hours' WHERE trace_id = "
      "'" +
      old.text() + "' RETURNING 1");
  const auto all = ask(concepts::gradients(a, "", 10));
  CAF_REQUIRE_EQUAL(all.size(), 2u);
  CAF_CHECK_EQUAL(all[0].concept_name, "wind");
  CAF_CHECK(std::abs(all[0].total_intensity - 3) < 0.01);
  CAF_CHECK_EQUAL(all[0].dominant_depositor, "bob");
  CAF_CHECK(std::abs(all[1].total_intensity - 5 * std::pow(0.9, 10)) < 0.01);
  CAF_CHECK_EQUAL(ask(concepts::gradients(a, "AIN", 10)).size(), 1u);
  CAF_CHECK(ask(concepts::gradients(b, "", 10)).empty());
  // What is all but gone goes with the next deposit.
  (void)admin(
      "UPDATE kg.agentese_traces SET deposited_at = now() - interval '8 days' WHERE trace_id = '" +
      old.text() + "' RETURNING 1");
  (void)leave("sun", 1, "ann");
  CAF_CHECK_EQUAL(ask(concepts::trace_count(a)), 3u);
}

CAF_TEST_FIXTURE_SCOPE_END()
