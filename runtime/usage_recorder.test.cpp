// needs: postgres
#define CAF_SUITE usage_recorder

#include "runtime/usage_recorder.hpp"

#include <atomic>
#include <thread>

#include "runtime/agentese/event_log_fixture.test.hpp"
#include "runtime/io_thread.hpp"

using namespace kgents;
using namespace kgents::runtime;
using agentese::test::patience;
using namespace std::chrono_literals;

namespace {

const agentese::test::database& shared_database() {
  static const agentese::test::database instance{"usage_recorder"};
  return instance;
}

constexpr std::string_view get = "GET";
constexpr std::string_view sessions = "/v1/kgent/sessions";
constexpr std::string_view messages = "/v1/kgent/sessions/{id}/messages";

struct fixture {
  io_thread thread{0, "sql"};
  sql::pool control;
  std::atomic<uint64_t> written{0}, full{0}, rejected{0}, retries{0};
  std::optional<usage_recorder> subject;
  tenant_id tenant = shared_database().new_tenant();
  api_key_id key{uuid::random()};

  explicit fixture(const std::string& url = shared_database().as("kg_control"))
      : control{thread.context(), {.url = url, .connections = 2, .max_in_flight = 1}} {
    usage_probe probe;
    probe.written = [this](uint64_t requests) { written += requests; };
    probe.retried = [this] { ++retries; };
    probe.dropped = [this](uint64_t requests, const char* why) {
      (why == std::string_view{"full"} ? full : rejected) += requests;
    };
    subject.emplace(thread.context(), control, 4, std::move(probe));
  }

  ~fixture() {
    subject.reset();
    control.stop();
    thread.stop();
    thread.join();
  }

  [[nodiscard]] usage_recorder::request seen(std::string_view endpoint, uint16_t status = 200) const {
    return {tenant, key, get, endpoint, status};
  }

  [[nodiscard]] std::string of(const std::string& what, const std::string& table) const {
    return shared_database().admin("SELECT " + what + " FROM kg." + table + " WHERE tenant_id = '" +
                                   tenant.text() + "'");
  }
};

}  // namespace

CAF_TEST(equal requests of all threads are few rows and all of them are counted) {
  fixture x;
  x.thread.start();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int n = 0; n < 10'000; ++n)
        x.subject->count(i, x.seen(n % 2 == 0 ? sessions : messages, n % 10 == 0 ? 404 : 200));
    });
  for (auto& t : threads)
    t.join();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.written, 40'000u);
  CAF_CHECK_EQUAL(x.of("sum(quantity)", "usage_events"), "40000");
  CAF_CHECK_EQUAL(x.of("sum(quantity) FILTER (WHERE status_code = 404)", "usage_events"), "4000");
  CAF_CHECK_EQUAL(x.of("sum(requests)", "request_counts"), "40000");
  CAF_CHECK_EQUAL(x.of("count(*)", "request_counts"), "2");
  CAF_CHECK_EQUAL(x.of("bool_and(tokens_in + tokens_out = 0 AND source = 'api' AND event_type = "
                       "'api_call')::text",
                       "usage_events"),
                  "true");
  CAF_CHECK_EQUAL(x.subject->waiting(), 0u);
}

CAF_TEST(a row is of one month) {
  fixture x;
  using namespace std::chrono;
  const sys_days first{2026y / February / 1};
  x.subject->count(0, x.seen(sessions), first - 1s);
  x.subject->count(0, x.seen(sessions), first);
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.of("string_agg(billing_period, ' ' ORDER BY created_at)", "usage_events"),
                  "2026-01 2026-02");
  CAF_CHECK_EQUAL(x.of("string_agg(day::text, ' ' ORDER BY day)", "request_counts"),
                  "2026-01-31 2026-02-01");
}

CAF_TEST(while the store is away equal requests go on being counted and only new kinds are lost) {
  fixture x{"host='/nonexistent' user=nobody"};
  x.thread.start();
  for (size_t i = 0; i < usage_recorder::most_waiting + 10; ++i) {
    x.key = api_key_id{uuid::random()};
    x.subject->count(i % 4, x.seen(sessions));
  }
  CAF_CHECK_EQUAL(x.full, 10u);
  CAF_CHECK(!x.subject->flush(10ms));
  CAF_CHECK_EQUAL(x.subject->waiting(), usage_recorder::most_waiting);
}

CAF_TEST(a commit that waits for a lock is tried again and counts once) {
  fixture x;
  x.subject->count(0, x.seen(sessions));
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  {
    sql::blocking_connection holder{shared_database().as("postgres")};
    const auto lock = "BEGIN; SELECT FROM kg.request_counts WHERE tenant_id = '" + x.tenant.text() +
                      "' FOR UPDATE";
    CAF_REQUIRE_EQUAL(holder.run(lock.c_str()).value_or(""), "");
    x.subject->count(0, x.seen(sessions));
    CAF_CHECK(!x.subject->flush(1ms));
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (x.retries == 0 && std::chrono::steady_clock::now() < give_up) {
      x.subject->count(1, x.seen(sessions));
      std::this_thread::yield();
    }
    CAF_REQUIRE_GREATER(x.retries, 0u);
  }
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.of("sum(quantity)", "usage_events"), std::to_string(x.written));
  CAF_CHECK_EQUAL(x.of("sum(requests)", "request_counts"), std::to_string(x.written));
  CAF_CHECK_EQUAL(x.rejected, 0u);
}

CAF_TEST(what the database refuses for its content is left out alone) {
  fixture x;
  for (int i = 0; i < 20; ++i)
    x.subject->count(0, x.seen(sessions, static_cast<uint16_t>(200 + i)));
  x.subject->count(0, x.seen("\xff is no UTF-8"));
  x.thread.start();
  CAF_REQUIRE(x.subject->flush(patience));
  CAF_CHECK_EQUAL(x.rejected, 1u);
  CAF_CHECK_EQUAL(x.written, 20u);
  CAF_CHECK_EQUAL(x.of("sum(quantity)", "usage_events"), "20");
}
