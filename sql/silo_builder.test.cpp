// needs: postgres
#define CAF_SUITE silo_builder

#include "sql/silo_builder.hpp"

#include <cstdlib>
#include <vector>

#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::sql;

namespace {

constexpr auto tenant_text = "11111111-1111-4111-8111-111111111111";
constexpr auto other_text = "22222222-2222-4222-8222-222222222222";
constexpr auto silo_name = "kg_t_11111111111141118111111111111111";

/// A shared database with two tenants, and whoever makes silos.
struct fixture {
  std::string server = std::getenv("KGENTS_TEST_PG");
  std::string name;
  tenant_id tenant = *tenant_id::parse(tenant_text);
  interruption until;
  std::vector<std::string> steps;
  std::vector<std::string> troubles;

  fixture() {
    static int count = 0;
    name = "silo_builder_" + std::to_string(++count);
    const std::string schema = "silo_builder_schema";
    if (count == 1) {
      run("postgres", ("CREATE DATABASE " + schema).c_str());
      CAF_REQUIRE_EQUAL(migrate({.url = url(schema)}).value_or(""), "");
    }
    run("postgres", ("CREATE DATABASE " + name + " TEMPLATE " + schema).c_str());
    for (const auto* x : {tenant_text, other_text})
      run(name, ("INSERT INTO kg.tenants (id, name, slug, subscription_tier) VALUES ('" +
                 std::string{x} + "', 'x', 's-" + x[0] + "', 'enterprise');"
                 "INSERT INTO kg.users (tenant_id, email, role) VALUES ('" + x +
                 "', 'a@example.org', 'owner');"
                 "INSERT INTO kg.sessions (tenant_id, user_id, title) SELECT tenant_id, id, "
                 "'s' || i FROM kg.users, generate_series(1, 3) i WHERE tenant_id = '" + x + "';"
                 "INSERT INTO kg.messages (tenant_id, session_id, role, content) SELECT tenant_id, "
                 "id, 'user', 'line' || E'\\t\\\\n' || i FROM kg.sessions, generate_series(1, 50) i"
                 " WHERE tenant_id = '" + x + "';"
                 "INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in) VALUES ('" +
                 x + "', 'llm_call', 'kgent', 7)")
                    .c_str());
  }

  ~fixture() {
    run("postgres", ("DROP DATABASE IF EXISTS " + std::string{silo_name} + " WITH (FORCE)").c_str());
  }

  [[nodiscard]] std::string url(const std::string& database,
                                const std::string& user = "postgres") const {
    auto out = server;
    out.replace(out.find("/postgres?"), 10, "/" + database + "?");
    return out.replace(out.find("user=postgres"), 13, "user=" + user);
  }

  void run(const std::string& database, const char* statements) const {
    blocking_connection connection{url(database)};
    CAF_REQUIRE_EQUAL(connection.error(), "");
    CAF_REQUIRE_EQUAL(connection.run(statements).value_or(""), "");
  }

  [[nodiscard]] std::string value(const std::string& database, const char* query) const {
    blocking_connection connection{url(database)};
    const auto found = connection.query(query);
    if (!found)
      return connection.last_error();
    return PQntuples(found.get()) == 0 ? "" : PQgetvalue(found.get(), 0, 0);
  }

  [[nodiscard]] std::string here(const char* query) const { return value(name, query); }
  [[nodiscard]] std::string there(const char* query) const { return value(silo_name, query); }

  void ask_for(const char* purge_after = "NULL") const {
    CAF_REQUIRE_EQUAL(here(("SELECT outcome FROM kg.request_silo('" + std::string{tenant_text} +
                            "', NULL, " + purge_after + ")")
                               .c_str()),
                      "accepted");
  }

  void work(const std::string& as = "postgres") {
    silo_observer tell;
    tell.done = [this](tenant_id, silo_step what, std::chrono::milliseconds) {
      steps.emplace_back(to_string(what));
    };
    tell.failed = [this](tenant_id, silo_step, const std::string& why, bool) {
      troubles.push_back(why);
    };
    tell.copied = [](int64_t) {};
    silo_builder builder{{.admin_url = url(name, as), .where = {}, .tell = tell}, until};
    builder.work_on(tenant);
  }

  [[nodiscard]] std::string state() const {
    return here("SELECT state FROM kg.silos ORDER BY tenant_id LIMIT 1");
  }
};

using list = std::vector<std::string>;

constexpr auto all_rows =
    "SELECT (SELECT count(*) FROM kg.sessions) || ' ' || (SELECT count(*) FROM kg.messages) || ' ' "
    "|| (SELECT count(*) FROM kg.usage_events)";

}  // namespace

CAF_TEST_FIXTURE_SCOPE(silo_builder_tests, fixture)

CAF_TEST(a_tenant_gets_its_database_with_all_its_rows_and_nobody_elses) {
  ask_for();
  work();
  CAF_CHECK_EQUAL(troubles, list{});
  CAF_CHECK_EQUAL(steps, (list{"begin", "create", "migrate", "copy", "cut_over"}));
  CAF_CHECK_EQUAL(state(), "active");
  CAF_CHECK_EQUAL(there(all_rows), "3 150 1");
  CAF_CHECK_EQUAL(there("SELECT count(DISTINCT tenant_id) FROM kg.messages"), "1");
  CAF_CHECK_EQUAL(there("SELECT tenant FROM kg.silo"), tenant_text);
  CAF_CHECK_EQUAL(there("SELECT email FROM kg.users WHERE id::text <> email"), "");
  CAF_CHECK_EQUAL(here("SELECT data_plane || ' ' || silo_dsn_ref FROM kg.tenants "
                       "WHERE data_plane = 'silo'"),
                  "silo kgents-silo-s-1");
  CAF_CHECK_EQUAL(here("SELECT state FROM kg.tenant_moves"), "gone");
  // As they were: in the same order, with the numbers they had, and new ones come after them.
  const auto* digest =
      "SELECT md5(string_agg(id || content || seq || created_at, ',' ORDER BY seq)) "
      "FROM kg.messages WHERE tenant_id = '11111111-1111-4111-8111-111111111111'";
  CAF_CHECK_EQUAL(there(digest), here(digest));
  CAF_CHECK_EQUAL(there("SELECT nextval('kg.messages_seq_seq') > 300"), "t");
  // Nothing of the copy is news to who follows the outbox.
  const auto* outbox =
      "SELECT count(*) || ' ' || max(id) FROM kg.outbox WHERE table_name IN ('sessions', "
      "'messages') AND tenant_id = '11111111-1111-4111-8111-111111111111'";
  CAF_CHECK_EQUAL(there(outbox), here(outbox));
  CAF_CHECK_EQUAL(there("SELECT count(*) FROM kg.usage_events WHERE exported_at IS NULL"), "0");
  CAF_CHECK_EQUAL(there("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND "
                        "tgenabled = 'D'"),
                  "0");
}

CAF_TEST(what_stayed_behind_goes_and_the_outbox_is_silent_about_it) {
  ask_for("0");
  work();
  CAF_CHECK_EQUAL(troubles, list{});
  CAF_CHECK_EQUAL(steps.back(), "purge");
  CAF_CHECK_EQUAL(here("SELECT count(*) FROM kg.sessions WHERE tenant_id = "
                       "'11111111-1111-4111-8111-111111111111'"),
                  "0");
  CAF_CHECK_EQUAL(here(all_rows), "3 150 2");
  CAF_CHECK_EQUAL(here("SELECT count(*) FROM kg.outbox WHERE event_type = 'DELETE' OR (table_name "
                       "IN ('sessions', 'messages') AND tenant_id = "
                       "'11111111-1111-4111-8111-111111111111')"),
                  "0");
  CAF_CHECK_EQUAL(here("SELECT purged_at IS NOT NULL FROM kg.silos"), "t");
}

CAF_TEST(a_step_that_was_cut_off_is_done_again_from_what_is_there) {
  ask_for();
  work();
  CAF_REQUIRE_EQUAL(state(), "active");
  // As a process leaves it that dies after the copy's commit and before it is noted.
  run(name, "UPDATE kg.tenants SET data_plane = 'pool', silo_dsn_ref = NULL WHERE data_plane = "
            "'silo'; UPDATE kg.tenant_moves SET state = 'copying'; UPDATE kg.silos SET state = "
            "'copying', details = '{}', purge_at = NULL");
  steps.clear();
  work();
  CAF_CHECK_EQUAL(troubles, list{});
  CAF_CHECK_EQUAL(steps, (list{"copy", "cut_over"}));
  CAF_CHECK_EQUAL(there(all_rows), "3 150 1");
}

CAF_TEST(a_change_after_the_copy_is_noticed_and_the_tenant_is_let_go) {
  ask_for();
  work();
  run(name, "UPDATE kg.tenants SET data_plane = 'pool', silo_dsn_ref = NULL WHERE data_plane = "
            "'silo'; UPDATE kg.tenant_moves SET state = 'copying'; UPDATE kg.silos SET state = "
            "'cutover', purge_at = NULL; UPDATE kg.messages SET content = 'other' WHERE seq = 1");
  steps.clear();
  work();
  CAF_REQUIRE_EQUAL(troubles.size(), 1u);
  CAF_CHECK(troubles[0].find("has changed since it was copied") != std::string::npos);
  CAF_CHECK_EQUAL(here("SELECT count(*) FROM kg.tenant_moves"), "0");
  CAF_CHECK_EQUAL(state(), "copying");
  work();
  CAF_CHECK_EQUAL(state(), "active");
  CAF_CHECK_EQUAL(there("SELECT count(*) FROM kg.messages WHERE content = 'other'"), "1");
}

CAF_TEST(a_database_that_is_in_use_is_never_taken_for_a_silo) {
  run("postgres", ("CREATE DATABASE " + std::string{silo_name}).c_str());
  CAF_REQUIRE_EQUAL(migrate({.url = url(silo_name)}).value_or(""), "");
  run(silo_name, "INSERT INTO kg.tenants (name, slug) VALUES ('x', 'x')");
  ask_for();
  work();
  CAF_CHECK_EQUAL(state(), "failed");
  CAF_CHECK(here("SELECT reason FROM kg.silos").find("in use already") != std::string::npos);
  CAF_CHECK_EQUAL(there("SELECT count(*) FROM kg.tenants"), "1");
  CAF_CHECK_EQUAL(here("SELECT count(*) FROM kg.tenant_moves"), "0");
}

CAF_TEST(one_that_is_given_up_leaves_nothing) {
  ask_for();
  work();
  run(name, "UPDATE kg.tenants SET data_plane = 'pool', silo_dsn_ref = NULL WHERE data_plane = "
            "'silo'; UPDATE kg.tenant_moves SET state = 'copying'; UPDATE kg.silos SET state = "
            "'cutover', purge_at = NULL");
  CAF_CHECK_EQUAL(here(("SELECT kg.cancel_silo('" + std::string{tenant_text} + "')").c_str()),
                  "accepted");
  work();
  CAF_CHECK_EQUAL(here("SELECT count(*) FROM kg.silos"), "0");
  CAF_CHECK_EQUAL(here("SELECT count(*) FROM kg.tenant_moves"), "0");
  CAF_CHECK_EQUAL(value("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'kg_t_%'"),
                  "0");
}

CAF_TEST(the_migrator_needs_to_be_no_superuser_but_to_create_databases) {
  run(name, "ALTER ROLE kg_migrator NOCREATEDB");
  ask_for("0");
  work("kg_migrator");
  CAF_CHECK_EQUAL(state(), "failed");
  CAF_CHECK(here("SELECT reason FROM kg.silos").find("CREATEDB") != std::string::npos);
  run(name, "ALTER ROLE kg_migrator CREATEDB");
  ask_for();
  troubles.clear();
  work("kg_migrator");
  CAF_CHECK_EQUAL(troubles, list{});
  CAF_CHECK_EQUAL(steps.back(), "purge");
  CAF_CHECK_EQUAL(there(all_rows), "3 150 1");
  CAF_CHECK_EQUAL(there("SELECT pg_get_userbyid(datdba) || ' ' || has_database_privilege('kg_app', "
                        "datname, 'CONNECT') || ' ' || (datacl::text LIKE '%{=%') FROM pg_database "
                        "WHERE datname = current_database()"),
                  "kg_owner true false");
}

CAF_TEST(who_is_stopped_leaves_the_rest_to_the_next) {
  ask_for();
  until.stop();
  work();
  CAF_CHECK_EQUAL(troubles, list{});
  CAF_CHECK_EQUAL(state(), "requested");
}

CAF_TEST_FIXTURE_SCOPE_END()
