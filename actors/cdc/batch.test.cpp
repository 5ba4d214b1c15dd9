#define CAF_SUITE batch

#include "actors/cdc/batch.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::cdc;

namespace {

using part = batch_plan::part;
using how = applied::how;

struct fixture {
  const tenant_id tenant{uuid::random()};
  const tenant_id other{uuid::random()};

  change make(int64_t id, std::string row, uint32_t attempts = 0) const {
    change x;
    x.id = id;
    x.tenant = tenant;
    x.what = sql::cdc::operation::update;
    x.table = "memories";
    x.row = std::move(row);
    x.payload = "{}";
    x.attempts = attempts;
    return x;
  }
  static batch_plan plan(const std::vector<change>& changes) {
    return plan_batch(changes, [](const std::string& table) { return table == "memories"; });
  }
  static std::vector<result> end(const std::vector<change>& changes,
                                 const std::vector<applied>& ends, uint32_t max_attempts = 5) {
    return conclude(changes, plan(changes), ends, std::vector<bool>(changes.size(), false),
                    max_attempts);
  }
  static applied ended(how x, bool embedding = false) {
    applied out;
    out.what = x;
    out.error = x == how::done ? "" : "why";
    out.embedding = embedding;
    return out;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(batch_tests, fixture)

CAF_TEST(the pause before another attempt doubles up to ten seconds) {
  CAF_CHECK(retry_delay(0) == 100ms);
  CAF_CHECK(retry_delay(1) == 200ms);
  CAF_CHECK(retry_delay(6) == 6400ms);
  CAF_CHECK(retry_delay(7) == 10s);
  CAF_CHECK(retry_delay(4'000'000'000) == 10s);
}

CAF_TEST(only the newest change of a row is applied) {
  auto elsewhere = make(3, "a");
  elsewhere.tenant = other;
  const std::vector<change> changes{make(1, "a"), make(2, "b"), elsewhere, make(4, "a"),
                                    make(5, "a")};
  const auto x = plan(changes);
  CAF_CHECK(x.parts ==
            (std::vector{part::follow, part::apply, part::apply, part::follow, part::apply}));
  CAF_CHECK(x.together == (std::vector<size_t>{1, 2, 4}));
  CAF_CHECK(x.newest[0] == 4 && x.newest[3] == 4);
}

CAF_TEST(what is superseded not vectorised or not due is left alone) {
  std::vector<change> changes{make(1, "a"), make(2, "b"), make(3, "c"), make(4, "d"), make(5, "e")};
  changes[0].superseded = true;
  changes[1].table = "users";
  changes[2].due = false;
  changes[3].settled = true;
  const auto x = plan(changes);
  CAF_CHECK(x.parts ==
            (std::vector{part::over, part::over, part::nothing, part::nothing, part::apply}));
  const auto ends = end(changes, std::vector<applied>(5));
  CAF_CHECK(ends[0].settled && ends[1].settled && !ends[2].settled && !ends[3].settled);
  CAF_CHECK(!ends[2].wait && !ends[4].counted && !ends[4].wait);
}

CAF_TEST(what has failed in company is tried alone) {
  const auto x = plan({make(1, "a", 1), make(2, "b"), make(3, "c", 4)});
  CAF_CHECK(x.together == (std::vector<size_t>{1}));
  CAF_CHECK(x.alone == (std::vector<size_t>{0, 2}));
}

CAF_TEST(an attempt that fails is counted and the last one is the end) {
  const std::vector<change> changes{make(1, "a"), make(2, "b", 4), make(3, "c", 4), make(4, "d")};
  const auto x = end(changes, {ended(how::failed), ended(how::failed), ended(how::failed, true),
                               ended(how::invalid)});
  CAF_CHECK(x[0].counted && x[0].wait == 100ms && x[0].reason.empty() && !x[0].settled);
  CAF_CHECK_EQUAL(x[0].error, "why");
  CAF_CHECK_EQUAL(x[1].reason, "max_retries_exceeded");
  CAF_CHECK_EQUAL(x[2].reason, "embedding_failed");
  CAF_CHECK(x[1].counted && !x[1].wait);
  CAF_CHECK_EQUAL(x[3].reason, "invalid_payload");
}

CAF_TEST(what a service that is away puts off is no attempt) {
  const auto x = end({make(1, "a", 4)}, {ended(how::put_off)});
  CAF_CHECK(!x[0].counted && x[0].reason.empty());
  CAF_CHECK(x[0].wait == 1600ms);
}

CAF_TEST(older changes of a row share what becomes of the newest) {
  const std::vector<change> changes{make(1, "a", 2), make(2, "a", 4)};
  const applied none;
  auto x = end(changes, {none, ended(how::done)});
  CAF_CHECK(x[0].settled && x[1].settled);
  x = end(changes, {none, ended(how::put_off)});
  CAF_CHECK(!x[0].settled && !x[0].counted && x[0].wait == x[1].wait);
  x = end(changes, {none, ended(how::failed)});
  CAF_CHECK(x[0].settled && x[0].reason.empty());  // the newest is a dead letter
  CAF_CHECK(!x[1].reason.empty());
}

CAF_TEST(what the bus has is told) {
  const std::vector<change> changes{make(1, "a"), make(2, "a")};
  const auto x = conclude(changes, plan(changes), {{}, ended(how::done)}, {true, false}, 5);
  CAF_CHECK(x[0].published && !x[1].published);
}

CAF_TEST(coherency falls with the average lag) {
  lag_tracker x;
  CAF_CHECK_EQUAL(x.coherency(), 1.0);
  x.add(2000ms);
  x.add(4000ms);
  CAF_CHECK_EQUAL(x.average(), 3000.0);
  CAF_CHECK_EQUAL(x.most(), 4000.0);
  CAF_CHECK_EQUAL(x.last(), 4000.0);
  CAF_CHECK(std::abs(x.coherency() - 0.4) < 1e-9);
  for (size_t i = 0; i < lag_tracker::samples; ++i)
    x.add(9000ms);
  CAF_CHECK_EQUAL(x.average(), 9000.0);
  CAF_CHECK_EQUAL(x.coherency(), 0.0);
}

CAF_TEST_FIXTURE_SCOPE_END()
