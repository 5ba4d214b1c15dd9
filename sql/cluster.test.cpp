// needs: postgres
#define CAF_SUITE cluster

#include "sql/cluster.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;

namespace {

std::string look(const std::string& url, const char* statement) {
  blocking_connection connection{url};
  const auto result = connection.query(statement);
  CAF_REQUIRE_EQUAL(connection.last_error(), "");
  return PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

/// A migrated database, made once for all tests of this process.
struct database {
  database() {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    base = "host='" + look(server, "SHOW unix_socket_directories") +
           "' port=" + look(server, "SHOW port") + " dbname=cluster_tables";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE cluster_tables"));
    CAF_REQUIRE_EQUAL(migrate({.url = as("postgres")}).value_or(""), "");
  }

  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }

  std::string base;
};

struct fixture {
  fixture() {
    admin("DELETE FROM kg.cluster_nodes");
    admin("UPDATE kg.shard_leases SET owner = NULL, epoch = 0");
    thread = std::thread{[this] { context.run(); }};
  }

  ~fixture() {
    app.stop();
    control.stop();
    guard.reset();
    thread.join();
  }

  static const database& shared() {
    static const database instance;
    return instance;
  }

  static std::string admin(const char* statement) {
    return look(shared().as("postgres"), statement);
  }

  template <class T>
  answer<T> attempt(query<T> what) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(control, std::move(what), [promise](answer<T> x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(future.wait_for(60s) == std::future_status::ready);
    return future.get();
  }

  template <class T>
  T ask(query<T> what) {
    auto result = attempt(std::move(what));
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }

  template <class T>
  failure refusal(query<T> what) {
    auto result = attempt(std::move(what));
    CAF_REQUIRE(std::holds_alternative<failure>(result));
    return std::get<failure>(std::move(result));
  }

  node_id member(const std::string& name) {
    const auto id = ask(cluster::join({.name = name, .host = "10.0.0.1", .port = 9000}));
    CAF_CHECK(ask(cluster::beat(id, member_state::up, 0)).self == member_state::up);
    return id;
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared().as("kg_app"), .connections = 1}};
  pool control{context, {.url = shared().as("kg_control"), .connections = 1}};
  std::thread thread;
};

using epochs = cluster::epochs;

}  // namespace

CAF_TEST_FIXTURE_SCOPE(cluster_tables_tests, fixture)

CAF_TEST(who joins is seen as it described itself) {
  const auto id = ask(cluster::join({.name = "node \"1\"\\",
                                     .host = "node-1.peers.test",
                                     .port = 65535,
                                     .roles = {"gateway", "kgent"},
                                     .protocol = 7}));
  CAF_CHECK(id.value > 0);
  const auto plain = ask(cluster::join({.name = "plain", .host = "h", .port = 1}));
  const auto seen = ask(cluster::beat(id, member_state::joining, 0));
  CAF_CHECK(seen.self == member_state::joining);
  CAF_REQUIRE_EQUAL(seen.view.members.size(), 2u);
  const auto* me = seen.view.find(id);
  CAF_REQUIRE(me != nullptr);
  CAF_CHECK_EQUAL(me->name, "node \"1\"\\");
  CAF_CHECK_EQUAL(me->host, "node-1.peers.test");
  CAF_CHECK_EQUAL(me->port, 65535);
  CAF_CHECK(me->roles == (std::vector<std::string>{"gateway", "kgent"}));
  CAF_CHECK(me->state == member_state::joining);
  CAF_CHECK_EQUAL(me->beat, 1u);
  CAF_CHECK(me->suspects.empty() && !me->drain_requested);
  CAF_CHECK(seen.view.find(plain)->roles.empty());
  CAF_CHECK_EQUAL(admin("SELECT protocol FROM kg.cluster_nodes WHERE name LIKE 'node%'"), "7");
}

CAF_TEST(a name lives once and a cluster of one lives alone) {
  const auto first = member("a");
  const auto second = member("a");
  CAF_CHECK(second.value > first.value);
  CAF_CHECK(ask(cluster::beat(first, member_state::up, 0)).self == member_state::dead);
  CAF_CHECK(ask(cluster::view(first, 0)).view.find(first)->state == member_state::dead);
  const auto why = refusal(cluster::join({.name = "b", .host = ""}));
  CAF_CHECK(why.what == failure::kind::rejected);
  CAF_CHECK_EQUAL(why.sqlstate, cluster::cannot_join);
  CAF_CHECK(why.message.find("node a at 10.0.0.1") != std::string::npos);
}

CAF_TEST(leases come with a view only when they may have changed) {
  const auto a = member("a");
  const std::vector<shard_id> wanted{{1023}, {0}, {512}};
  CAF_CHECK(ask(cluster::take(a, wanted)) ==
            (epochs{{shard_id{0}, 1}, {shard_id{512}, 1}, {shard_id{1023}, 1}}));
  const auto seen = ask(cluster::view(a, 0));
  CAF_CHECK(seen.leases_included);
  CAF_CHECK((seen.view.leases[0] == shard_lease{a, 1}));
  CAF_CHECK((seen.view.leases[1] == shard_lease{}));
  CAF_CHECK((seen.view.leases[512] == shard_lease{a, 1}));
  CAF_CHECK((seen.view.leases[1023] == shard_lease{a, 1}));
  const auto again = ask(cluster::beat(a, member_state::up, seen.view.version));
  CAF_CHECK(!again.leases_included);
  CAF_CHECK_EQUAL(again.view.version, seen.view.version);
  CAF_CHECK_EQUAL(again.view.members.size(), 1u);
  const auto b = member("b");
  CAF_CHECK(ask(cluster::give(a, b, wanted)).size() == 3);
  CAF_CHECK(ask(cluster::give(a, b, wanted)).empty());
  const auto later = ask(cluster::view(a, seen.view.version));
  CAF_CHECK(later.leases_included && later.view.version > seen.view.version);
  CAF_CHECK((later.view.leases[512] == shard_lease{b, 2}));
  ask(cluster::leave(b));
  CAF_CHECK((ask(cluster::view(a, 0)).view.leases[512] == shard_lease{node_id{}, 2}));
  CAF_CHECK(ask(cluster::take(a, {})).empty());
}

CAF_TEST(an empty cluster has a view as well) {
  const auto seen = ask(cluster::view(node_id{}, 0));
  CAF_CHECK(seen.self == member_state::dead && seen.leases_included);
  CAF_CHECK(seen.view.members.empty());
  const auto known = ask(cluster::view(node_id{}, seen.view.version));
  CAF_CHECK(!known.leases_included && known.view.members.empty());
}

CAF_TEST(members are suspected trusted again and buried) {
  const auto a = member("a");
  const auto b = member("b");
  const auto c = member("c");
  CAF_CHECK(!ask(cluster::suspect(a, c)));
  CAF_CHECK(ask(cluster::view(a, 0)).view.find(c)->suspects == std::vector{a});
  ask(cluster::trust(a, c));
  CAF_CHECK(ask(cluster::view(a, 0)).view.find(c)->suspects.empty());
  CAF_CHECK(!ask(cluster::suspect(b, c)));
  CAF_CHECK(ask(cluster::suspect(a, c)));
  CAF_CHECK(!ask(cluster::declare_dead(a, b, 0)));
  CAF_CHECK(ask(cluster::declare_dead(a, b, 1)));
  CAF_CHECK(ask(cluster::view(b, 0)).self == member_state::dead);
}

CAF_TEST(an operator asks a node to drain by its name) {
  const auto a = member("a");
  CAF_CHECK(!ask(cluster::request_drain("it's another")));
  CAF_CHECK(ask(cluster::request_drain("a")));
  CAF_CHECK(ask(cluster::view(a, 0)).view.find(a)->drain_requested);
}

CAF_TEST(a write is fenced once its lease has moved) {
  const auto a = member("a");
  const auto b = member("b");
  const std::vector<shard_id> shard{{77}};
  ask(cluster::take(a, shard));
  const auto write = [&](lease_epoch epoch) {
    std::promise<outcome> promise;
    app.submit({.fence = fence{shard[0], epoch}, .statements = {{"SELECT 1", {}}}},
               [&](outcome x) { promise.set_value(std::move(x)); });
    return promise.get_future().get();
  };
  CAF_CHECK(std::holds_alternative<std::vector<rows>>(write(1)));
  ask(cluster::give(a, b, shard));
  const auto refused = write(1);
  CAF_REQUIRE(std::holds_alternative<failure>(refused));
  CAF_CHECK(std::get<failure>(refused).what == failure::kind::fenced);
  CAF_CHECK(std::holds_alternative<std::vector<rows>>(write(2)));
}

CAF_TEST_FIXTURE_SCOPE_END()
