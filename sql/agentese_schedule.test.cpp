// needs: postgres
#define CAF_SUITE agentese_schedule

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/agentese_schedule.hpp"
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

/// A migrated database, made once for all tests of this process.
struct database {
  database() {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    const auto folder = look_up(server, "SHOW unix_socket_directories");
    base = "host='" + folder + "' port=" + look_up(server, "SHOW port") + " dbname=schedule";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE schedule"));
    const auto failed = migrate({.url = as("postgres"), .seed_dev = true});
    CAF_REQUIRE_EQUAL(failed.value_or(""), "");
  }

  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }

  std::string base;
};

const database& shared_database() {
  static const database instance;
  return instance;
}

constexpr fence lease{shard_id{7}, 0};

struct fixture {
  fixture() {
    thread = std::thread{[this] { context.run(); }};
    static int count = 0;
    tenant = *tenant_id::parse(admin("SELECT kg.provision_tenant('T', 'schedule-" +
                                     std::to_string(++count) + "', 'pro', 'owner@example.org')"));
    key = *api_key_id::parse(admin(
        "INSERT INTO kg.api_keys (tenant_id, user_ref, key_prefix, key_hash, name) VALUES ('" +
        tenant.text() + "', 'tester', 'kg_tests', encode(sha256('" + tenant.text() +
        "'), 'hex'), 'k') RETURNING id"));
  }

  ~fixture() {
    app.stop();
    control.stop();
    guard.reset();
    thread.join();
  }

  static std::string admin(const std::string& statement) {
    return look_up(shared_database().as("postgres"), statement);
  }

  template <class T>
  T ask(query<T> what, pool* where = nullptr) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(where != nullptr ? *where : app, std::move(what),
        [promise](answer<T> x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(future.wait_for(60s) == std::future_status::ready);
    auto result = future.get();
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }

  [[nodiscard]] new_action action() const {
    new_action x;
    x.path = "void.gratitude.tithe";
    x.kwargs = R"({"amount": 2,  "q": "a\"b"})";
    x.who = {"poet", "ann", {"define", "odd,\"name\""}};
    x.by.user = "tester";
    x.by.key = key;
    x.by.tier = "pro";
    x.by.read = true;
    x.by.write = true;
    return x;
  }

  int64_t defer(std::chrono::microseconds delay) {
    const auto made = ask(agentese_schedule::defer_by(tenant, action(), delay));
    CAF_REQUIRE(made);
    return made->id;
  }

  /// What the context does: looks for the next that is due, and takes it.
  std::optional<claimed_action> claim() {
    const auto left = ask(agentese_schedule::look(tenant));
    if (!left.due)
      return std::nullopt;
    return ask(agentese_schedule::claim(tenant, *left.due, lease));
  }

  std::string status(int64_t id) {
    const auto x = ask(agentese_schedule::status_of(tenant, id));
    return x ? std::string{to_string(*x)} : "none";
  }

  bool is_due() {
    const auto due = ask(agentese_schedule::due(1000), &control);
    return std::find(due.tenants.begin(), due.tenants.end(), tenant) != due.tenants.end();
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared_database().as("kg_app"), .connections = 2}};
  pool control{context, {.url = shared_database().as("kg_control"), .connections = 1}};
  std::thread thread;
  tenant_id tenant;
  api_key_id key;
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_schedule_tests, fixture)

CAF_TEST(a due action is claimed once as it was deferred and then it has ended) {
  const auto id = defer(0us);
  CAF_CHECK_EQUAL(id, 1);
  CAF_CHECK(is_due());
  const auto got = claim();
  CAF_REQUIRE(got);
  CAF_CHECK_EQUAL(got->id, id);
  CAF_CHECK_EQUAL(got->denied, "");
  CAF_CHECK_EQUAL(got->what.path, "void.gratitude.tithe");
  CAF_CHECK_EQUAL(got->what.kwargs, action().kwargs);
  CAF_CHECK_EQUAL(got->what.who.archetype, "poet");
  CAF_CHECK_EQUAL(got->what.who.capabilities, action().who.capabilities);
  CAF_CHECK_EQUAL(got->what.by.user, "tester");
  CAF_CHECK(got->what.by.key == key);
  CAF_CHECK(got->what.by.read && got->what.by.write && !got->what.by.admin);
  CAF_CHECK_EQUAL(status(id), "running");
  CAF_CHECK(!claim());
  CAF_CHECK(!ask(agentese_schedule::claim(tenant, id, lease)));
  CAF_CHECK(!is_due());

  CAF_CHECK(ask(agentese_schedule::end(tenant, id, action_status::executed, R"({"n":1})", "")));
  CAF_CHECK(!ask(agentese_schedule::end(tenant, id, action_status::failed, "", "again")));
  const auto listed = ask(agentese_schedule::list(tenant, {}, action().by, 10));
  CAF_REQUIRE_EQUAL(listed.actions.size(), 1u);
  CAF_CHECK_EQUAL(listed.total, 1);
  CAF_CHECK_EQUAL(listed.actions[0].result, R"({"n":1})");
  CAF_CHECK(listed.actions[0].own);
  CAF_CHECK(!is_due());
}

CAF_TEST(what is not due is neither claimed nor told but the time until then is) {
  const auto id = defer(1h);
  CAF_CHECK(!is_due());
  CAF_CHECK(!claim());
  CAF_CHECK(!ask(agentese_schedule::claim(tenant, id, lease)));
  const auto due = ask(agentese_schedule::due(1000), &control);
  CAF_REQUIRE(due.next_in);
  CAF_CHECK(*due.next_in > 0us);
  CAF_CHECK(*due.next_in <= 1h);
}

CAF_TEST(claims go by time and then by number) {
  const auto later = defer(-1s);
  const auto first = defer(-1h);
  CAF_CHECK_EQUAL(claim()->id, first);
  CAF_CHECK_EQUAL(claim()->id, later);
}

CAF_TEST(a pending action is cancelled once and a cancelled one never claimed) {
  const auto id = defer(0us);
  CAF_CHECK(ask(agentese_schedule::cancel(tenant, id)));
  CAF_CHECK(!ask(agentese_schedule::cancel(tenant, id)));
  CAF_CHECK_EQUAL(status(id), "cancelled");
  CAF_CHECK(!is_due());
  CAF_CHECK(!claim());
  CAF_CHECK_EQUAL(status(99), "none");
}

CAF_TEST(what ran under a lease that has moved is due to be failed and fails once) {
  const auto id = defer(0us);
  CAF_REQUIRE(claim());
  CAF_CHECK(!is_due());
  admin("UPDATE kg.shard_leases SET epoch = epoch + 1 WHERE shard = 7");
  CAF_CHECK(is_due());
  CAF_CHECK(ask(agentese_schedule::look(tenant)).running == std::vector<int64_t>{id});
  CAF_CHECK(ask(agentese_schedule::fail_interrupted(tenant, {id})).empty());
  CAF_CHECK(ask(agentese_schedule::fail_interrupted(tenant, {})) == std::vector<int64_t>{id});
  CAF_CHECK_EQUAL(status(id), "failed");
  CAF_CHECK(!is_due());
  CAF_CHECK(!claim());
  admin("UPDATE kg.shard_leases SET epoch = 0 WHERE shard = 7");
}

CAF_TEST(an action of a revoked key or an inactive tenant is claimed as denied) {
  defer(0us);
  admin("UPDATE kg.api_keys SET revoked_at = now() WHERE id = '" + key.text() + "'");
  const auto revoked = claim();
  CAF_REQUIRE(revoked);
  CAF_CHECK_NOT_EQUAL(revoked->denied, "");

  admin("UPDATE kg.api_keys SET revoked_at = NULL WHERE id = '" + key.text() + "'");
  defer(0us);
  admin("UPDATE kg.tenants SET subscription_status = 'canceled' WHERE id = '" + tenant.text() + "'");
  CAF_CHECK_NOT_EQUAL(claim()->denied, "");
}

CAF_TEST(a key that may write no more does not write later either) {
  defer(0us);
  admin("UPDATE kg.api_keys SET scopes = '{read}' WHERE id = '" + key.text() + "'");
  const auto got = claim();
  CAF_REQUIRE(got);
  CAF_CHECK_EQUAL(got->denied, "");
  CAF_CHECK(got->what.by.read);
  CAF_CHECK(!got->what.by.write);
}

CAF_TEST(pending actions have a bound) {
  const auto first = defer(1h);
  admin("INSERT INTO kg.agentese_actions"
        " SELECT (json_populate_record(a, json_build_object('id', -n))).*"
        " FROM kg.agentese_actions a, generate_series(2, " +
        std::to_string(pending_actions_most) + ") n WHERE a.tenant_id = '" + tenant.text() + "'");
  CAF_CHECK(!ask(agentese_schedule::defer_by(tenant, action(), 0us)));
  CAF_CHECK_EQUAL(ask(agentese_schedule::list(tenant, action_status::pending, action().by, 3)).total,
                  pending_actions_most);
  CAF_CHECK(ask(agentese_schedule::cancel(tenant, first)));
  CAF_CHECK(ask(agentese_schedule::defer_by(tenant, action(), 0us)).has_value());
}

CAF_TEST(another tenant sees nothing of it) {
  const auto id = defer(0us);
  const auto other = *tenant_id::parse(
      admin("SELECT kg.provision_tenant('O', 'other-" + tenant.text() + "', 'pro', 'o@example.org')"));
  CAF_CHECK(!ask(agentese_schedule::status_of(other, id)));
  CAF_CHECK(!ask(agentese_schedule::cancel(other, id)));
  CAF_CHECK(!ask(agentese_schedule::claim(other, id, lease)));
  CAF_CHECK_EQUAL(ask(agentese_schedule::list(other, {}, action().by, 10)).total, 0);
  CAF_CHECK_EQUAL(status(id), "pending");
}

CAF_TEST_FIXTURE_SCOPE_END()
