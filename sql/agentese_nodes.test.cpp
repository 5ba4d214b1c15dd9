// needs: postgres
#define CAF_SUITE agentese_nodes

#include "sql/agentese_nodes.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/agentese_jobs.hpp"
#include "sql/agents.hpp"
#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;
namespace nodes = kgents::sql::agentese_nodes;
namespace jobs = kgents::sql::agentese_jobs;

namespace {

std::string look(const std::string& url, const std::string& statement) {
  blocking_connection connection{url};
  const auto result = connection.query(statement.c_str());
  CAF_REQUIRE_EQUAL(connection.last_error(), "");
  return PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

/// A migrated database, made once for all tests of this process.
struct database {
  database() {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    base = "host='" + look(server, "SHOW unix_socket_directories") +
           "' port=" + look(server, "SHOW port") + " dbname=agentese_nodes";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE agentese_nodes"));
    CAF_REQUIRE_EQUAL(migrate({.url = as("postgres")}).value_or(""), "");
  }

  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }

  std::string base;
};

const database& shared_database() {
  static const database instance;
  return instance;
}

struct fixture {
  fixture() : tenant{make_tenant()}, other{make_tenant()} {
    thread = std::thread{[this] { context.run(); }};
  }

  ~fixture() {
    app.stop();
    guard.reset();
    thread.join();
  }

  static tenant_id make_tenant() {
    static int count = 0;
    return *tenant_id::parse(admin("SELECT kg.provision_tenant('T', 'tenant-" +
                                   std::to_string(++count) + "', 'pro', 'owner@example.org')"));
  }

  static std::string admin(const std::string& statement) {
    return look(shared_database().as("postgres"), statement);
  }

  template <class T>
  answer<T> try_ask(query<T> what) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(app, std::move(what), [promise](answer<T> x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(future.wait_for(60s) == std::future_status::ready);
    return future.get();
  }

  template <class T>
  T ask(query<T> what) {
    auto result = try_ask(std::move(what));
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }

  static agentese_node house(std::string state = R"({"colour": "red"})") {
    agentese_node out;
    out.path = "world.house";
    out.entity_type = "building";
    out.state = std::move(state);
    out.created_by = "ana";
    return out;
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared_database().as("kg_app"), .connections = 2}};
  std::thread thread;
  tenant_id tenant;
  tenant_id other;
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_nodes_tests, fixture)

CAF_TEST(a node is what was stored last and counts its versions) {
  CAF_CHECK(!ask(nodes::get(tenant, "world.house")));
  CAF_CHECK_EQUAL(ask(nodes::put(tenant, house())).version, 1);
  auto changed = house(R"({"colour": "blue"})");
  changed.created_by = "bob";
  changed.relations = R"({"near": ["world.garden"]})";
  const auto stored = ask(nodes::put(tenant, changed));
  CAF_CHECK_EQUAL(stored.version, 2);
  CAF_CHECK_EQUAL(stored.created_by, "ana");
  const auto got = ask(nodes::get(tenant, "world.house"));
  CAF_REQUIRE(got.has_value());
  CAF_CHECK_EQUAL(got->state, R"({"colour": "blue"})");
  CAF_CHECK_EQUAL(got->relations, R"({"near": ["world.garden"]})");
  CAF_CHECK_EQUAL(got->entity_type, "building");
  CAF_CHECK_EQUAL(got->version, 2);
  CAF_CHECK_EQUAL(got->updated_at, stored.updated_at);
}

CAF_TEST(tenants do not see each others nodes) {
  ask(nodes::put(tenant, house()));
  CAF_CHECK(!ask(nodes::get(other, "world.house")));
  CAF_CHECK_EQUAL(ask(nodes::put(other, house("{}"))).version, 1);
  const auto mine = ask(nodes::get(tenant, "world.house"));
  CAF_CHECK_EQUAL(mine->state, R"({"colour": "red"})");
  CAF_CHECK_EQUAL(ask(nodes::count(other, "world")), 1);
  CAF_CHECK(ask(nodes::snapshots(other, "world.house", 10)).size() == 1);
}

CAF_TEST(a path that is none is refused by the database itself) {
  auto bad = house();
  bad.path = "world.House";
  const auto result = try_ask(nodes::put(tenant, bad));
  const auto* why = std::get_if<failure>(&result);
  CAF_REQUIRE(why != nullptr);
  CAF_CHECK_EQUAL(why->sqlstate, "23514");
}

CAF_TEST(the state at a time is the newest that is not later) {
  ask(nodes::put(tenant, house(R"({"n": 1})")));
  ask(nodes::put(tenant, house(R"({"n": 2})")));
  const auto all = ask(nodes::snapshots(tenant, "world.house", 10));
  CAF_REQUIRE_EQUAL(all.size(), 2u);
  CAF_CHECK_EQUAL(all[0].state, R"({"n": 1})");
  CAF_CHECK_EQUAL(all[1].version, 2);
  const auto now = std::chrono::system_clock::now();
  const auto later = ask(nodes::snapshot_at(tenant, "world.house", now + 1h));
  CAF_CHECK_EQUAL(later->state, R"({"n": 2})");
  CAF_CHECK(!ask(nodes::snapshot_at(tenant, "world.house", now - 1h)));
  const auto first = std::stoll(
      admin("SELECT (extract(epoch FROM at) * 1000000)::bigint FROM kg.agentese_snapshots WHERE "
            "version = 1 AND tenant_id = '" +
            tenant.text() + "'"));
  const std::chrono::system_clock::time_point at{std::chrono::microseconds{first}};
  const auto then = ask(nodes::snapshot_at(tenant, "world.house", at));
  CAF_CHECK_EQUAL(then->state, R"({"n": 1})");
}

CAF_TEST(as many states are kept as there may be) {
  ask(nodes::put(tenant, house()));
  // As if a thousand changes had been made.
  admin("UPDATE kg.agentese_nodes SET version = 1000 WHERE tenant_id = '" + tenant.text() + "'");
  CAF_CHECK_EQUAL(ask(nodes::put(tenant, house(R"({"n": 2})"))).version, 1001);
  const auto all = ask(nodes::snapshots(tenant, "world.house", 10));
  CAF_REQUIRE_EQUAL(all.size(), 1u);
  CAF_CHECK_EQUAL(all[0].version, 1001);
}

CAF_TEST(what is removed is gone with its past) {
  ask(nodes::put(tenant, house()));
  auto kitchen = house();
  kitchen.path = "world.house.kitchen";
  ask(nodes::put(tenant, kitchen));
  auto houseboat = house();
  houseboat.path = "world.houseboat";
  ask(nodes::put(tenant, houseboat));
  CAF_CHECK_EQUAL(ask(nodes::below(tenant, "world.house", 10)),
                  std::vector<std::string>{"world.house.kitchen"});
  CAF_CHECK(ask(nodes::remove(tenant, "world.house")));
  CAF_CHECK(!ask(nodes::remove(tenant, "world.house")));
  CAF_CHECK(ask(nodes::snapshots(tenant, "world.house", 10)).empty());
  CAF_CHECK_EQUAL(ask(nodes::put(tenant, house())).version, 1);
}

CAF_TEST(a job goes to one taker and ends once) {
  agentese_job job;
  job.id = uuid::random();
  job.node = "world.house";
  job.aspect = "build";
  job.kwargs = R"({"target": "roof"})";
  job.requested_by = "ana";
  query<nothing> insert;
  insert.work.tenant = tenant;
  insert.work.statements.push_back(jobs::insert_statement(tenant, job));
  insert.parse = [](std::vector<rows>&) { return nothing{}; };
  ask(std::move(insert));
  CAF_CHECK_EQUAL(ask(jobs::count_open(tenant)), 1);
  CAF_CHECK_EQUAL(ask(jobs::list(tenant, "world.house", "queued", 10)).size(), 1u);
  CAF_CHECK(ask(jobs::list(tenant, "world.garden", "", 10)).empty());
  CAF_CHECK(!ask(jobs::get(other, job.id)));
  CAF_CHECK(!ask(jobs::change(other, job.id, "running", "")));
  CAF_CHECK(ask(jobs::change(tenant, job.id, "running", "mine")).has_value());
  CAF_CHECK(!ask(jobs::change(tenant, job.id, "running", "mine too")));
  const auto done = ask(jobs::change(tenant, job.id, "done", ""));
  CAF_REQUIRE(done.has_value());
  CAF_CHECK_EQUAL(done->note, "mine");
  CAF_CHECK(!ask(jobs::change(tenant, job.id, "cancelled", "")));
  CAF_CHECK_EQUAL(ask(jobs::count_open(tenant)), 0);
}

CAF_TEST(agents are those of the tenant) {
  admin("INSERT INTO kg.agents (tenant_id, name, config, is_active) VALUES ('" + tenant.text() +
        "', 'scout', '{\"mode\": \"explore\"}', false)");
  CAF_CHECK_EQUAL(ask(agents::list(tenant, 10)).size(), 1u);
  CAF_CHECK(ask(agents::list(other, 10)).empty());
  CAF_CHECK(!ask(agents::get(tenant, "scout"))->active);
  CAF_CHECK(ask(agents::set_active(tenant, "scout", true)));
  CAF_CHECK(ask(agents::get(tenant, "scout"))->active);
  CAF_CHECK(!ask(agents::set_active(tenant, "nobody", true)));
}

CAF_TEST_FIXTURE_SCOPE_END()
