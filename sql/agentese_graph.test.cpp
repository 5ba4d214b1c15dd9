// needs: postgres
#define CAF_SUITE agentese_graph

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/agentese_graph.hpp"
#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;

namespace {

/// One line of text from the database, as superuser.
std::string look_up(const std::string& url, const std::string& statement) {
  blocking_connection connection{url};
  const auto result = connection.query(statement.c_str());
  CAF_REQUIRE_EQUAL(connection.last_error(), "");
  return PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

/// A migrated database with a few events of one tenant, a second apart.
struct database {
  database() {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    base = "host='" + look_up(server, "SHOW unix_socket_directories") +
           "' port=" + look_up(server, "SHOW port") + " dbname=graph";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE graph"));
    CAF_REQUIRE_EQUAL(migrate({.url = as("postgres"), .seed_dev = true}).value_or(""), "");
    tenant = *tenant_id::parse(look_up(
        as("postgres"), "SELECT kg.provision_tenant('T', 'graph', 'pro', 'owner@example.org')"));
    event("self.soul", "chat", "invoked", "");
    event("self.memory", "recall", "invoked", "self.soul.chat");
    event("self.memory", "recall", "error", "self.soul.chat");
    event("self.memory", "state", "changed", "self.soul.chat");
    event("void.entropy", "sip", "invoked", "self.memory.recall");
  }

  void event(const std::string& path, const std::string& aspect, const std::string& type,
             const std::string& caller) {
    const auto n = std::to_string(++seq);
    CAF_REQUIRE(!blocking_connection{as("postgres")}.run(
        ("INSERT INTO kg.agentese_events (tenant_id, seq, event_id, event_type, path, aspect,"
         " observer_archetype, status, origin, caller_path, created_at) VALUES ('" +
         tenant.text() + "', " + n + ", gen_random_uuid(), '" + type + "', '" + path + "', '" +
         aspect + "', 'guest', 'ok', 'gateway', nullif('" + caller + "', ''), to_timestamp(" + n +
         "))")
            .c_str()));
  }

  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }

  std::string base;
  tenant_id tenant;
  int seq = 0;
};

const database& shared_database() {
  static const database instance;
  return instance;
}

struct fixture {
  fixture() {
    thread = std::thread{[this] { context.run(); }};
  }

  ~fixture() {
    app.stop();
    guard.reset();
    thread.join();
  }

  template <class T>
  T ask(query<T> what) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(app, std::move(what), [promise](answer<T> x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(future.wait_for(60s) == std::future_status::ready);
    auto result = future.get();
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared_database().as("kg_app"), .connections = 1}};
  std::thread thread;
  tenant_id tenant = shared_database().tenant;
};

constexpr std::chrono::system_clock::time_point epoch{};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_graph_tests, fixture)

CAF_TEST(calls are counted by caller and callee and changes are none) {
  const auto x = ask(agentese_graph::calls(tenant, 10));
  CAF_REQUIRE_EQUAL(x.size(), 2u);
  CAF_CHECK_EQUAL(x[0].from, "self.soul.chat");
  CAF_CHECK_EQUAL(x[0].to, "self.memory.recall");
  CAF_CHECK_EQUAL(x[0].calls, 2);
  CAF_CHECK_EQUAL(x[1].to, "void.entropy.sip");
  CAF_CHECK_EQUAL(ask(agentese_graph::calls(tenant, 1)).size(), 1u);
}

CAF_TEST(paths are those up to a time) {
  CAF_CHECK(ask(agentese_graph::paths(tenant, epoch, 10)).empty());
  const auto early = ask(agentese_graph::paths(tenant, epoch + 2s, 10));
  CAF_REQUIRE_EQUAL(early.size(), 2u);
  CAF_CHECK_EQUAL(early[0].path, "self.memory.recall");
  const auto all = ask(agentese_graph::paths(tenant, epoch + 1h, 10));
  CAF_REQUIRE_EQUAL(all.size(), 3u);
  CAF_CHECK_EQUAL(all[0].count, 2);
}

CAF_TEST(times are those of a node or of one aspect with the newest last) {
  const auto x = ask(agentese_graph::times(tenant, "self.memory", "", 10));
  CAF_CHECK(x == (std::vector<int64_t>{2'000'000, 3'000'000}));
  CAF_CHECK(ask(agentese_graph::times(tenant, "self.memory", "recall", 1)) ==
            std::vector<int64_t>{3'000'000});
  CAF_CHECK(ask(agentese_graph::times(tenant, "self.memory", "forget", 1)).empty());
}

CAF_TEST(another tenant has no part in it) {
  const tenant_id other{uuid::random()};
  CAF_CHECK(ask(agentese_graph::calls(other, 10)).empty());
  CAF_CHECK(ask(agentese_graph::paths(other, epoch + 1h, 10)).empty());
  CAF_CHECK(ask(agentese_graph::times(other, "self.memory", "", 10)).empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
