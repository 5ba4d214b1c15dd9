// needs: postgres
#define CAF_SUITE pools

#include "sql/pools.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include <caf/test/dsl.hpp>

#include "sql/blocking.hpp"
#include "sql/silo_dsn.hpp"

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;

namespace {

constexpr auto patience = 60s;  // longer than anything here takes on a busy machine

std::string url_of(const std::string& database) {
  const auto* url = std::getenv("KGENTS_TEST_PG");
  CAF_REQUIRE(url != nullptr);
  return std::get<std::string>(with_database(url, database));
}

void run_on(const std::string& database, const std::string& text) {
  blocking_connection x{url_of(database)};
  CAF_REQUIRE_EQUAL(x.error(), "");
  const auto wrong = x.run(text.c_str());
  CAF_REQUIRE_EQUAL(wrong.value_or(""), "");
}

/// As much of the schema as routing needs: the real functions are tested with the real schema.
void create(const std::string& database) {
  run_on("postgres", "DROP DATABASE IF EXISTS " + database + " WITH (FORCE)");
  run_on("postgres", "CREATE DATABASE " + database);
  run_on(database, R"(
    CREATE SCHEMA kg;
    CREATE TABLE kg.gone (tenant uuid);
    CREATE TABLE kg.copying (tenant uuid);
    CREATE TABLE kg.leases (shard int, epoch bigint);
    CREATE TABLE kg.entries (tenant text);
    CREATE TABLE kg.directory (tenant uuid, state text, database text, dsn_ref text);
    CREATE FUNCTION kg.silo_directory() RETURNS SETOF kg.directory LANGUAGE sql AS
      'SELECT * FROM kg.directory';
    CREATE FUNCTION kg.set_control_context(x uuid) RETURNS void LANGUAGE sql AS
      $$ SELECT set_config('app.current_tenant', x::text, true) $$;
    CREATE FUNCTION kg.set_tenant_context(x uuid) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM set_config('app.current_tenant', x::text, true);
        IF EXISTS (SELECT FROM kg.gone WHERE tenant = x) THEN
          RAISE EXCEPTION 'elsewhere' USING ERRCODE = 'KG003';
        END IF;
        IF EXISTS (SELECT FROM kg.copying WHERE tenant = x) THEN
          PERFORM set_config('transaction_read_only', 'on', true);
        END IF;
      END $$;
    CREATE FUNCTION kg.check_lease(s smallint, e bigint) RETURNS void LANGUAGE sql AS
      'INSERT INTO kg.leases VALUES (s, e)')");
}

struct fixture {
  fixture() {
    for (const auto* x : {"shared_test", "silo_test", "other_test"})
      create(x);
    app.emplace(context, pool_options{.url = url_of("shared_test"), .connections = 2});
    control.emplace(context, pool_options{.url = url_of("shared_test"), .connections = 2});
    options.app_url = options.control_url = url_of("shared_test");
    options.refresh_every = 1h;  // only when something asks for it
  }

  ~fixture() {
    planes.reset();
    control.reset();
    app.reset();
    guard.reset();
    if (thread.joinable())
      thread.join();
  }

  void start() {
    planes.emplace(context, *app, *control, options);
    planes->start();
    thread = std::thread{[this] { context.run(); }};
  }

  outcome ask(transactor& where, transaction work) {
    auto promise = std::make_shared<std::promise<outcome>>();
    auto result = promise->get_future();
    where.submit(std::move(work), [promise](outcome x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(result.wait_for(patience) == std::future_status::ready);
    return result.get();
  }

  /// The database that answered, or the kind of the failure.
  std::string where_is(transactor& where, transaction work) {
    if (work.statements.empty())
      work.statements.push_back({"SELECT current_database()", {}});
    const auto out = ask(where, std::move(work));
    if (const auto* why = std::get_if<failure>(&out))
      return "failure " + std::to_string(static_cast<int>(why->what));
    return std::string{std::get<0>(out).back().text(0, 0)};
  }
  static std::string failed(failure::kind x) {
    return "failure " + std::to_string(static_cast<int>(x));
  }

  void moved(const tenant_id& tenant, const std::string& database = "silo_test",
             const std::string& ref = "none") {
    const auto id = tenant.text();
    run_on("shared_test", "INSERT INTO kg.gone VALUES ('" + id + "'); DELETE FROM kg.copying");
    run_on("shared_test", "INSERT INTO kg.directory VALUES ('" + id + "', 'silo', '" + database +
                              "', '" + ref + "')");
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  std::optional<pool> app;
  std::optional<pool> control;
  pools_options options;
  std::optional<pools> planes;
  std::thread thread;
  const tenant_id alpha{uuid::random()};
  const tenant_id beta{uuid::random()};
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(pools_tests, fixture)

CAF_TEST(a tenant that moves is followed by the transaction that meets the move) {
  start();
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), "shared_test");
  moved(alpha);
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), "silo_test");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = beta}), "shared_test");
  CAF_CHECK(planes->app().apart(alpha));
  CAF_CHECK(!planes->app().apart(beta));
  CAF_CHECK(planes->control().silos() == std::vector{alpha});
  CAF_MESSAGE("who the tenant is stays where it was");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha, .where = plane::control}),
                  "shared_test");
  CAF_CHECK_EQUAL(where_is(planes->app(), {}), "shared_test");
  CAF_MESSAGE("the control role goes where it is about");
  CAF_CHECK_EQUAL(where_is(planes->control(), {.about = alpha}), "silo_test");
  CAF_CHECK_EQUAL(where_is(planes->control(), {.about = beta}), "shared_test");
  CAF_CHECK_EQUAL(where_is(planes->control(), {}), "shared_test");
  CAF_CHECK_EQUAL(planes->open(), 2u);
}

CAF_TEST(everything that is under way at a move arrives once) {
  start();
  moved(alpha);
  std::vector<std::future<outcome>> all;
  for (int i = 0; i < 300; ++i) {
    auto promise = std::make_shared<std::promise<outcome>>();
    all.push_back(promise->get_future());
    planes->app().submit(
        {.tenant = alpha,
         .statements = {{"INSERT INTO kg.entries VALUES (current_setting('app.current_tenant'))"}}},
        [promise](outcome x) { promise->set_value(std::move(x)); });
  }
  for (auto& x : all) {
    CAF_REQUIRE(x.wait_for(patience) == std::future_status::ready);
    CAF_CHECK_EQUAL(x.get().index(), 0u);
  }
  const transaction count{.tenant = alpha, .statements = {{"SELECT count(*) FROM kg.entries"}}};
  CAF_CHECK_EQUAL(where_is(planes->app(), count), "300");
}

CAF_TEST(while it is copied a tenant is read and every write says that it moves) {
  start();
  run_on("shared_test", "INSERT INTO kg.copying VALUES ('" + alpha.text() + "')");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), "shared_test");
  const auto write = [](tenant_id x) {
    return transaction{
        .tenant = x,
        .statements = {{"INSERT INTO kg.entries VALUES ('x') RETURNING current_database()"}}};
  };
  CAF_CHECK_EQUAL(where_is(planes->app(), write(alpha)), failed(failure::kind::moving));
  CAF_CHECK_EQUAL(where_is(planes->app(), write(beta)), "shared_test");
}

CAF_TEST(a move that the directory does not know yet is told as one) {
  start();
  run_on("shared_test", "INSERT INTO kg.gone VALUES ('" + alpha.text() + "')");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), failed(failure::kind::moving));
}

CAF_TEST(a silo that is not there refuses its tenant and nobody else) {
  start();
  moved(alpha, "nowhere_test");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), failed(failure::kind::unavailable));
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = beta}), "shared_test");
}

CAF_TEST(a lease is announced in a silo only) {
  start();
  moved(alpha);
  const fence lease{shard_id{5}, 7};
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = beta, .announces = lease}), "shared_test");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), "silo_test");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha, .announces = lease}), "silo_test");
  const statement leases{"SELECT count(*) FROM kg.leases"};
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha, .statements = {leases}}), "1");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = beta, .statements = {leases}}), "0");
}

CAF_TEST(a secret says where a silo is and is read again when that cannot be reached) {
  const auto folder = std::filesystem::temp_directory_path() / ("kg-pools-" + alpha.text());
  std::filesystem::create_directories(folder / "alpha");
  const auto write = [&](const std::string& database) {
    for (const auto* name : {"DATABASE_URL", "DATABASE_CONTROL_URL"})
      std::ofstream{folder / "alpha" / name} << url_of(database) << "\n";
  };
  options.secrets = folder;
  options.refresh_every = 5ms;
  write("nowhere_test");
  start();
  moved(alpha, "silo_test", "alpha");
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), failed(failure::kind::unavailable));
  write("other_test");
  const auto give_up = std::chrono::steady_clock::now() + patience;
  std::string found;
  while (found != "other_test" && std::chrono::steady_clock::now() < give_up)
    found = where_is(planes->app(), {.tenant = alpha});
  CAF_CHECK_EQUAL(found, "other_test");
  std::filesystem::remove_all(folder);
}

CAF_TEST(what is not used any more is closed and opened again) {
  options.refresh_every = 5ms;
  options.idle = 0ms;
  start();
  moved(alpha);
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), "silo_test");
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (planes->open() > 0 && std::chrono::steady_clock::now() < give_up)
    where_is(planes->app(), {.tenant = beta});
  CAF_CHECK_EQUAL(planes->open(), 0u);
  CAF_CHECK_EQUAL(where_is(planes->control(), {.about = alpha}), "silo_test");
}

CAF_TEST(after a stop everything is answered) {
  start();
  moved(alpha);
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), "silo_test");
  planes->stop();
  CAF_CHECK_EQUAL(where_is(planes->app(), {.tenant = alpha}), failed(failure::kind::unavailable));
}

CAF_TEST_FIXTURE_SCOPE_END()
