// needs: postgres
#define CAF_SUITE pool

#include "sql/pool.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <latch>
#include <thread>

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;

namespace {

constexpr auto patience = 60s;  // longer than anything here takes on a busy machine

/// A blocking connection as superuser, for what the pool itself does not do.
class admin {
public:
  explicit admin(const std::string& database = "") {
    const auto* url = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(url != nullptr);
    const char* keywords[] = {"dbname", database.empty() ? nullptr : "dbname", nullptr};
    const char* values[] = {url, database.c_str(), nullptr};
    pg_ = PQconnectdbParams(keywords, values, 1);
    CAF_REQUIRE_EQUAL(PQstatus(pg_), CONNECTION_OK);
    PQsetNoticeProcessor(
        pg_, [](void*, const char*) {}, nullptr);
  }
  ~admin() { PQfinish(pg_); }
  admin(const admin&) = delete;
  admin& operator=(const admin&) = delete;

  std::string run(const char* text) {
    rows result{PQexec(pg_, text)};
    CAF_REQUIRE_EQUAL(std::string{PQerrorMessage(pg_)}, "");
    return result.empty() ? "" : std::string{result.text(0, 0)};
  }

  [[nodiscard]] std::string folder() const { return PQhost(pg_); }
  [[nodiscard]] std::string port() const { return PQport(pg_); }
  [[nodiscard]] std::string user() const { return PQuser(pg_); }

private:
  PGconn* pg_;
};

std::string conninfo(const admin& x, const std::string& folder) {
  return "host='" + folder + "' port=" + x.port() + " user='" + x.user() + "' dbname=pool_test";
}

/// A database with just enough of the schema: the context functions and one table under a policy.
void create_database() {
  static bool done = false;
  if (std::exchange(done, true))
    return;
  admin server;
  server.run("DROP DATABASE IF EXISTS pool_test");
  server.run("CREATE DATABASE pool_test");
  admin{"pool_test"}.run(R"(
    CREATE SCHEMA kg;
    CREATE FUNCTION kg.set_tenant_context(x uuid) RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN PERFORM set_config('app.current_tenant', x::text, true); END $$;
    CREATE FUNCTION kg.check_lease(shard smallint, epoch bigint) RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN IF (shard, epoch) <> (7, 3) THEN
           RAISE EXCEPTION 'moved on' USING ERRCODE = 'KG001'; END IF; END $$;
    CREATE TABLE kg.numbers(n int PRIMARY KEY, tenant text);
    CREATE TABLE kg.late(n int UNIQUE DEFERRABLE INITIALLY DEFERRED))");
}

struct fixture {
  fixture() {
    create_database();
    admin x{"pool_test"};
    x.run("TRUNCATE kg.numbers, kg.late");
    options.url = conninfo(x, x.folder());
    options.application_name = "pool_under_test";
  }

  ~fixture() {
    pool_.reset();
    guard.reset();
    if (thread.joinable())
      thread.join();
  }

  pool& create() {
    pool_ = std::make_unique<pool>(context, options);
    return *pool_;
  }

  void serve() {
    thread = std::thread{[this] { context.run(); }};
  }

  pool& start() {
    auto& result = create();
    serve();
    return result;
  }

  static outcome await(std::future<outcome> x) {
    CAF_REQUIRE(x.wait_for(patience) == std::future_status::ready);
    return x.get();
  }

  std::future<outcome> begin(transaction work) {
    auto promise = std::make_shared<std::promise<outcome>>();
    auto result = promise->get_future();
    pool_->submit(std::move(work), [promise](outcome x) { promise->set_value(std::move(x)); });
    return result;
  }

  outcome run(transaction work) { return await(begin(std::move(work))); }

  /// Repeats a trivial transaction until it commits; the number of refusals before.
  int run_until_committed() {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (int refusals = 0;; ++refusals) {
      if (std::holds_alternative<std::vector<rows>>(run({.statements = {{"SELECT 1", {}}}})))
        return refusals;
      CAF_REQUIRE(std::chrono::steady_clock::now() < end);
    }
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool_options options;
  std::unique_ptr<pool> pool_;
  std::thread thread;
};

transaction insert(int n) {
  return {.statements = {{"INSERT INTO kg.numbers(n) VALUES ($1)", {std::to_string(n)}}}};
}

bool committed(const outcome& x) { return std::holds_alternative<std::vector<rows>>(x); }

failure refusal(const outcome& x) {
  CAF_REQUIRE(std::holds_alternative<failure>(x));
  return std::get<failure>(x);
}

}  // namespace

CAF_TEST_FIXTURE_SCOPE(pool_tests, fixture)

CAF_TEST(each statement answers with its rows and nulls stay nulls) {
  start();
  const auto result = run({.statements = {{"SELECT $1::int + 1, $2::text", {"41", std::nullopt}},
                                          {"SELECT 'a' WHERE false", {}},
                                          {"SELECT true, $1::uuid", {uuid{}.text()}}}});
  CAF_REQUIRE(committed(result));
  const auto& all = std::get<std::vector<rows>>(result);
  CAF_REQUIRE_EQUAL(all.size(), 3u);
  CAF_CHECK_EQUAL(all[0].integer(0, 0), 42);
  CAF_CHECK(all[0].is_null(0, 1));
  CAF_CHECK(!all[0].optional_text(0, 1));
  CAF_CHECK(all[1].empty());
  CAF_CHECK(all[2].boolean(0, 0));
  CAF_CHECK(all[2].id(0, 1).is_nil());
}

CAF_TEST(an error in the middle rolls all of its transaction back and none of its neighbours) {
  options.connections = 1;  // so that all three share one pipeline
  start();
  auto before = begin(insert(1));
  auto broken = begin({.statements = {{"INSERT INTO kg.numbers(n) VALUES (2)", {}},
                                      {"SELECT 1/$1::int", {"0"}},
                                      {"INSERT INTO kg.numbers(n) VALUES (3)", {}}}});
  auto after = begin(insert(4));
  CAF_CHECK(committed(await(std::move(before))));
  const auto why = refusal(await(std::move(broken)));
  CAF_CHECK(why.what == failure::kind::rejected);
  CAF_CHECK_EQUAL(why.sqlstate, "22012");
  CAF_CHECK(committed(await(std::move(after))));
  CAF_CHECK_EQUAL(admin{"pool_test"}.run("SELECT array_agg(n ORDER BY n) FROM kg.numbers"),
                  "{1,4}");
}

CAF_TEST(an error at the commit itself is a failure) {
  options.connections = 1;
  start();
  const auto why = refusal(run({.statements = {{"INSERT INTO kg.late VALUES (1), (1)", {}}}}));
  CAF_CHECK(why.what == failure::kind::rejected);
  CAF_CHECK_EQUAL(why.sqlstate, "23505");
  CAF_CHECK(committed(run(insert(1))));
}

CAF_TEST(the tenant context holds for its own transaction only) {
  options.connections = 1;
  start();
  const tenant_id alpha{uuid::random()};
  const tenant_id beta{uuid::random()};
  const statement current{"SELECT current_setting('app.current_tenant', true)", {}};
  auto first = begin({.tenant = alpha, .statements = {current, current}});
  auto none = begin({.statements = {current}});
  auto second = begin({.tenant = beta, .statements = {current}});
  const auto of_first = await(std::move(first));
  CAF_REQUIRE(committed(of_first));
  CAF_CHECK_EQUAL(std::get<0>(of_first).size(), 2u);
  CAF_CHECK_EQUAL(std::get<0>(of_first)[0].text(0, 0), alpha.text());
  CAF_CHECK_EQUAL(std::get<0>(of_first)[1].text(0, 0), alpha.text());
  const auto of_none = await(std::move(none));
  CAF_CHECK_EQUAL(std::get<0>(of_none)[0].text(0, 0), "");
  const auto of_second = await(std::move(second));
  CAF_CHECK_EQUAL(std::get<0>(of_second)[0].text(0, 0), beta.text());
}

CAF_TEST(what is written under an old lease is fenced with all of its transaction) {
  start();
  const auto tenant = *tenant_id::parse("00000000-0000-4000-8000-00000000000a");
  const fence present{shard_id{7}, 3};
  for (const auto& who : {std::optional<tenant_id>{}, std::optional{tenant}}) {
    transaction work{.tenant = who,
                     .fence = present,
                     .statements = {{"SELECT current_setting('app.current_tenant', true)", {}}}};
    auto allowed = run(work);
    CAF_REQUIRE(committed(allowed));
    auto& answer = std::get<std::vector<rows>>(allowed);
    CAF_REQUIRE_EQUAL(answer.size(), 1u);
    CAF_CHECK_EQUAL(answer[0].text(0, 0), who ? who->text() : "");
    for (const auto& old : {fence{shard_id{7}, 2}, fence{shard_id{8}, 3}}) {
      auto write = insert(1);
      write.tenant = who;
      write.fence = old;
      const auto why = refusal(run(std::move(write)));
      CAF_CHECK(why.what == failure::kind::fenced);
      CAF_CHECK_EQUAL(why.sqlstate, "KG001");
    }
  }
  CAF_CHECK(committed(run(insert(1))));  // so none of those was
}

CAF_TEST(a value that cannot be sent is refused and not cut) {
  start();
  const auto why = refusal(run({.statements = {{"SELECT $1::text", {std::string{"a\0b", 3}}}}}));
  CAF_CHECK(why.what == failure::kind::rejected);
  CAF_CHECK_EQUAL(why.sqlstate, "22021");
  const std::string large(3'000'000, 'x');
  const auto result = run({.statements = {{"SELECT $1::text, length($1::text)", {large}}}});
  CAF_REQUIRE(committed(result));
  CAF_CHECK_EQUAL(std::get<0>(result)[0].text(0, 0), large);
}

CAF_TEST(ten thousand transactions at once all commit in far fewer round trips) {
  options.max_queued = 10'000;
  auto& x = create();
  std::latch done{10'000};
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2500; ++i)
        x.submit(insert(t * 2500 + i), [&](outcome result) {
          good += committed(result);
          done.count_down();
        });
    });
  for (auto& submitter : threads)
    submitter.join();
  serve();  // only now, so that it cannot keep pace with them one by one
  done.wait();
  CAF_CHECK_EQUAL(good, 10'000);
  CAF_CHECK_EQUAL(admin{"pool_test"}.run("SELECT count(*) FROM kg.numbers"), "10000");
  const auto stats = x.stats();
  CAF_CHECK_EQUAL(stats.committed, 10'000u);
  CAF_CHECK_EQUAL(stats.failed, 0u);
  CAF_CHECK_EQUAL(stats.queued, 0u);
  CAF_CHECK_EQUAL(stats.in_flight, 0u);
  CAF_CHECK_LESS(stats.round_trips, 1'000u);
}

CAF_TEST(a full queue refuses at once and what was queued still runs) {
  options.connections = 1;
  options.max_queued = 10;
  auto& x = start();
  // The io_context's own thread submits all of it, so nothing can leave the queue meanwhile.
  std::latch done{15};
  std::atomic<int> good = 0;
  std::atomic<int> overloaded = 0;
  boost::asio::post(context, [&] {
    for (int i = 0; i < 15; ++i)
      x.submit(insert(i), [&](outcome result) {
        good += committed(result);
        if (const auto* why = std::get_if<failure>(&result))
          overloaded += why->what == failure::kind::overloaded;
        done.count_down();
      });
  });
  done.wait();
  CAF_CHECK_EQUAL(good, 10);
  CAF_CHECK_EQUAL(overloaded, 5);
}

CAF_TEST(a deadline ends a running transaction and one that waits and the pool recovers) {
  options.connections = 1;
  options.max_in_flight = 1;
  start();
  const auto soon = std::chrono::steady_clock::now() + 200ms;
  auto running = begin({.statements = {{"SELECT pg_sleep(30)", {}}}, .deadline = soon});
  auto waiting = begin({.statements = {{"SELECT 1", {}}}, .deadline = soon});
  CAF_CHECK(refusal(await(std::move(running))).what == failure::kind::timeout);
  CAF_CHECK(refusal(await(std::move(waiting))).what == failure::kind::timeout);
  const auto past = std::chrono::steady_clock::now() - 1s;
  auto late = insert(1);
  late.deadline = past;
  CAF_CHECK(refusal(run(std::move(late))).what == failure::kind::timeout);
  CAF_CHECK_EQUAL(run_until_committed(), 0);
  CAF_CHECK_EQUAL(admin{"pool_test"}.run("SELECT count(*) FROM kg.numbers"), "0");
}

CAF_TEST(what rode behind a transaction that ran too long has an unknown outcome) {
  options.connections = 1;
  create();  // not yet serving, so that both go into one pipeline
  const auto soon = std::chrono::steady_clock::now() + 300ms;
  auto slow = begin({.statements = {{"SELECT pg_sleep(30)", {}}}, .deadline = soon});
  auto behind = begin({.statements = {{"SELECT 1", {}}}});
  auto reading = begin({.statements = {{"SELECT 1", {}}}, .read_only = true});
  serve();
  CAF_CHECK(refusal(await(std::move(slow))).what == failure::kind::timeout);
  CAF_CHECK(refusal(await(std::move(behind))).what == failure::kind::unknown_outcome);
  CAF_CHECK(refusal(await(std::move(reading))).what == failure::kind::unavailable);
}

CAF_TEST(a backend that ends in mid pipeline leaves no doubt about what committed) {
  options.connections = 1;
  create();
  auto before = begin(insert(1));
  auto ending = begin({.statements = {{"INSERT INTO kg.numbers(n) VALUES (2)", {}},
                                      {"SELECT pg_terminate_backend(pg_backend_pid())", {}},
                                      {"SELECT 1", {}}}});
  auto behind = begin(insert(3));
  serve();
  CAF_CHECK(committed(await(std::move(before))));
  CAF_CHECK(refusal(await(std::move(ending))).what == failure::kind::unavailable);
  CAF_CHECK(refusal(await(std::move(behind))).what == failure::kind::unavailable);
  CAF_CHECK_EQUAL(run_until_committed(), 0);
  CAF_CHECK_EQUAL(admin{"pool_test"}.run("SELECT array_agg(n) FROM kg.numbers"), "{1}");
}

CAF_TEST(backends killed under load answer every transaction once and truthfully) {
  options.max_queued = 100'000;
  options.connections = 4;
  auto& x = start();
  admin killer;
  constexpr int total = 20'000;
  std::vector<std::atomic<int>> calls(total);
  std::vector<std::atomic<int>> verdicts(total);
  std::latch done{total};
  std::atomic<int> answered = 0;
  for (int i = 0; i < total; ++i)
    x.submit(insert(i), [&, i](outcome result) {
      ++calls[i];
      // No checks in here: CAF's are not for other threads.
      const auto* why = std::get_if<failure>(&result);
      verdicts[i] = why == nullptr ? 1 : why->what == failure::kind::unknown_outcome ? 2 : 3;
      ++answered;
      done.count_down();
    });
  int killed = 0;
  while (answered < total)
    killed += std::stoi(
        killer.run("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
                   "WHERE application_name = 'pool_under_test' ORDER BY random() LIMIT 2) x"));
  done.wait();
  CAF_CHECK_GREATER(killed, 0);
  run_until_committed();
  std::vector<bool> stored(total);
  std::string list = admin{"pool_test"}.run("SELECT string_agg(n::text, ' ') FROM kg.numbers");
  for (size_t at = 0; at < list.size(); at = list.find_first_not_of(' ', list.find(' ', at)))
    stored[std::stoul(list.substr(at))] = true;
  int wrong = 0;
  int successes = 0;
  for (int i = 0; i < total; ++i) {
    wrong += calls[i] != 1 || (verdicts[i] == 1 && !stored[i]) || (verdicts[i] == 3 && stored[i]);
    successes += verdicts[i] == 1;
  }
  CAF_CHECK_EQUAL(wrong, 0);
  CAF_CHECK_GREATER(successes, 0);
  CAF_CHECK_EQUAL(x.stats().in_flight, 0u);
  CAF_CHECK_EQUAL(x.stats().queued, 0u);
}

CAF_TEST(a lost connection is safe to repeat for what only reads) {
  options.connections = 1;
  start();
  run_until_committed();
  auto reading = begin({.statements = {{"SELECT pg_sleep(30)", {}}}, .read_only = true});
  auto behind = begin(insert(1));
  admin killer;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (killer.run("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE application_name = 'pool_under_test' AND query LIKE '%pg_sleep%'") !=
         "1")
    CAF_REQUIRE(std::chrono::steady_clock::now() < end);
  CAF_CHECK(refusal(await(std::move(reading))).what == failure::kind::unavailable);
  await(std::move(behind));
  run_until_committed();
}

CAF_TEST(without a server it refuses at once and connects when there is one) {
  admin server;
  const auto folder =
      std::filesystem::temp_directory_path() / ("kgents-pool-" + std::to_string(::getpid()));
  options.url = conninfo(server, folder.string());
  options.default_timeout = 30s;
  options.reconnect_max = 200ms;
  start();
  const auto before = std::chrono::steady_clock::now();
  CAF_CHECK(refusal(run(insert(1))).what == failure::kind::unavailable);
  CAF_CHECK(std::chrono::steady_clock::now() - before < 10s);
  std::filesystem::create_directory_symlink(server.folder(), folder);
  CAF_CHECK_GREATER_OR_EQUAL(run_until_committed(), 0);
  CAF_CHECK_GREATER(pool_->stats().connected, 0u);
  std::filesystem::remove(folder);
}

CAF_TEST(stop answers what is queued and in flight and everything after) {
  options.connections = 2;
  options.max_in_flight = 1;
  start();
  run_until_committed();
  std::vector<std::future<outcome>> all;
  for (int i = 0; i < 10; ++i)
    all.push_back(begin({.statements = {{"SELECT pg_sleep(30)", {}}}, .read_only = true}));
  pool_->stop();
  pool_->stop();
  for (auto& x : all)
    CAF_CHECK(refusal(await(std::move(x))).what == failure::kind::unavailable);
  CAF_CHECK(refusal(run(insert(1))).what == failure::kind::unavailable);
  CAF_CHECK_EQUAL(pool_->stats().connected, 0u);
}

CAF_TEST(a callback may submit and may destroy the pool) {
  start();
  std::promise<int> finished;
  pool_->submit(insert(1), [&](outcome) {
    pool_->submit(insert(2), [&](outcome) {
      pool_.reset();
      finished.set_value(1);
    });
  });
  auto result = finished.get_future();
  CAF_REQUIRE(result.wait_for(patience) == std::future_status::ready);
}

CAF_TEST_FIXTURE_SCOPE_END()
