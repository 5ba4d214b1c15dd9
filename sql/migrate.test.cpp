// needs: postgres
#define CAF_SUITE migrate

#include "sql/migrate.hpp"

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "sql/blocking.hpp"
#include "sql/self_check.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::sql;

namespace {

/// A database of its own for every test; roles are shared by the whole server.
struct fixture {
  std::string server = std::getenv("KGENTS_TEST_PG");
  std::string name;

  fixture() {
    static int count = 0;
    name = "migrate_" + std::to_string(++count);
    in("postgres", ("CREATE DATABASE " + name).c_str());
  }

  [[nodiscard]] std::string url(std::string database = {},
                                const std::string& user = "postgres") const {
    if (database.empty())
      database = name;
    auto out = server;
    out.replace(out.find("/postgres?"), 10, "/" + database + "?");
    out.replace(out.find("user=postgres"), 13, "user=" + user);
    return out;
  }

  void in(const std::string& database, const char* statements) const {
    blocking_connection connection{url(database)};
    CAF_REQUIRE_EQUAL(connection.error(), "");
    CAF_REQUIRE_EQUAL(connection.run(statements).value_or(""), "");
  }

  /// First column of the first row, as a superuser, whom RLS does not bind.
  [[nodiscard]] std::string value(const char* query) const {
    blocking_connection connection{url()};
    const auto rows = connection.query(query);
    if (!rows)
      return connection.last_error();
    return PQntuples(rows.get()) == 0 ? "" : PQgetvalue(rows.get(), 0, 0);
  }

  struct run_result {
    std::string error;
    std::vector<std::string> applied;
    size_t known = 0;
  };

  [[nodiscard]] run_result run(bool seed_dev = false,
                               std::span<const migration> files = embedded_migrations(),
                               const std::string& user = "postgres") const {
    run_result out;
    migrate_options options{.url = url({}, user), .seed_dev = seed_dev, .files = files};
    auto error = migrate(options, [&](std::string_view file, bool applied) {
      if (applied)
        out.applied.emplace_back(file);
      else
        ++out.known;
    });
    out.error = error.value_or("");
    return out;
  }

  [[nodiscard]] std::vector<std::string> problems(self_check_options options) const {
    return self_check(options).problems;
  }
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::vector<migration> without(std::string_view name) {
  std::vector<migration> out;
  for (const auto& file : embedded_migrations())
    if (file.name != name)
      out.push_back(file);
  return out;
}

}  // namespace

CAF_TEST_FIXTURE_SCOPE(migrate_tests, fixture)

CAF_TEST(D14 a second run applies nothing) {
  const auto first = run(true);
  CAF_REQUIRE_EQUAL(first.error, "");
  CAF_CHECK_EQUAL(first.applied.size(), embedded_migrations().size());
  CAF_CHECK(std::is_sorted(first.applied.begin(), first.applied.end()));
  CAF_CHECK_EQUAL(first.applied.back(), std::string{latest_migration()});
  const auto second = run(true);
  CAF_CHECK_EQUAL(second.error, "");
  CAF_CHECK(second.applied.empty());
  CAF_CHECK_EQUAL(second.known, embedded_migrations().size());
}

CAF_TEST(D14 every file may be applied again by hand without harm) {
  CAF_REQUIRE_EQUAL(run(true).error, "");
  in(name, "DELETE FROM kg.schema_migrations");
  CAF_CHECK_EQUAL(run(true).error, "");
  CAF_CHECK_EQUAL(value("SELECT count(*) FROM kg.api_keys"), "3");
}

CAF_TEST(D14 a file that changed after it was applied stops the run before anything else) {
  const std::string latest{latest_migration()};
  auto files = without(latest);
  CAF_REQUIRE_EQUAL(run(false, files).error, "");
  std::vector<migration> changed(embedded_migrations().begin(), embedded_migrations().end());
  const std::string text = std::string{changed[5].text} + "-- one more line\n";
  changed[5].text = text;
  const auto refused = run(false, changed);
  CAF_CHECK(contains(refused.error, "05-tenants"));
  CAF_CHECK(contains(refused.error, checksum(changed[5])));
  CAF_CHECK(refused.applied.empty());
  const auto query = "SELECT count(*) FROM kg.schema_migrations WHERE version = '" + latest + "'";
  CAF_CHECK_EQUAL(value(query.c_str()), "0");
}

CAF_TEST(D14 the ledger holds the SHA 256 of the files bytes) {
  CAF_CHECK_EQUAL(checksum({"x", "abc"}),
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CAF_REQUIRE_EQUAL(run().error, "");
  CAF_CHECK_EQUAL(value("SELECT checksum FROM kg.schema_migrations WHERE version = '05-tenants'"),
                  checksum(embedded_migrations()[5]));
}

CAF_TEST(D14 a file that fails leaves no trace and keeps those before it) {
  const std::vector<migration> files = {
      {"00-first",
       "CREATE SCHEMA kg; CREATE TABLE kg.schema_migrations (version text PRIMARY KEY,"
       " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"},
      {"01-half", "CREATE TABLE kg.half (); SELECT 1 / 0"},
      {"02-never", "CREATE TABLE kg.never ()"}};
  const auto result = run(false, files);
  CAF_CHECK(contains(result.error, "01-half"));
  CAF_CHECK(contains(result.error, "division by zero"));
  CAF_CHECK_EQUAL(result.applied, std::vector<std::string>{"00-first"});
  CAF_CHECK_EQUAL(value("SELECT to_regclass('kg.half') IS NULL"), "t");
  CAF_CHECK_EQUAL(value("SELECT to_regclass('kg.never') IS NULL"), "t");
}

CAF_TEST(D14 it runs without pgvector) {
  CAF_REQUIRE_EQUAL(run().error, "");
  const bool has_vector =
      value("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == "1";
  CAF_CHECK_EQUAL(value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
                        " WHERE attrelid = 'kg.memories'::regclass AND attname = 'embedding'"),
                  has_vector ? "kg.vector(1536)" : "real[]");
}

CAF_TEST(D14 it runs without persona garden and without memories) {
  auto files = without("04-persona-garden");
  std::erase_if(files, [](const migration& x) { return x.name == "03-memories"; });
  CAF_CHECK_EQUAL(run(true, files).error, "");
  CAF_CHECK_EQUAL(value("SELECT to_regclass('kg.persona_garden') IS NULL"), "t");
}

CAF_TEST(D14 two runs at once apply every file once) {
  run_result results[2];
  {
    std::jthread other{[&] { results[0] = run(true); }};
    results[1] = run(true);
  }
  for (const auto& result : results)
    CAF_CHECK_EQUAL(result.error, "");
  CAF_CHECK_EQUAL(results[0].applied.size() + results[1].applied.size(),
                  embedded_migrations().size());
}

CAF_TEST(D14 the migrators role needs no superuser once the roles exist) {
  // A database elsewhere made the roles.
  run_result elsewhere = fixture{}.run();
  CAF_REQUIRE_EQUAL(elsewhere.error, "");
  in(name, ("GRANT CREATE ON DATABASE " + name + " TO kg_migrator").c_str());
  CAF_CHECK_EQUAL(run(true, embedded_migrations(), "kg_migrator").error, "");
  CAF_CHECK_EQUAL(value("SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') FROM pg_class"
                        " WHERE relnamespace = 'kg'::regnamespace AND relkind IN ('r', 'v')"),
                  "kg_owner");
  CAF_CHECK_EQUAL(value("SELECT pg_get_userbyid(proowner) FROM pg_proc"
                        " WHERE oid = 'kg.resolve_api_key(text)'::regprocedure"),
                  "kg_definer");
}

CAF_TEST(D14 a role that may create none is told which roles are missing) {
  CAF_REQUIRE_EQUAL(run().error, "");
  fixture fresh;
  in("postgres",
     "ALTER ROLE kg_metrics RENAME TO kg_metrics_away;"
     "ALTER ROLE kg_billing RENAME TO kg_billing_away");
  const auto refused = fresh.run(false, embedded_migrations(), "kg_migrator");
  in("postgres",
     "ALTER ROLE kg_metrics_away RENAME TO kg_metrics;"
     "ALTER ROLE kg_billing_away RENAME TO kg_billing");
  CAF_CHECK(contains(refused.error, "kg_billing, kg_metrics"));
  CAF_CHECK(!contains(refused.error, "kg_app"));
  CAF_CHECK(refused.applied.empty());
}

CAF_TEST(D14 a database out of reach is an error and not a crash) {
  const auto error = migrate({.url = "postgresql://nobody@127.0.0.1:1/none"});
  CAF_REQUIRE(error.has_value());
  CAF_CHECK(contains(*error, "DATABASE_ADMIN_URL"));
}

CAF_TEST(D15 without seeding there is no tenant and no key) {
  const auto result = run(false);
  CAF_REQUIRE_EQUAL(result.error, "");
  CAF_CHECK_EQUAL(value("SELECT count(*) FROM kg.tenants"), "0");
  CAF_CHECK_EQUAL(value("SELECT count(*) FROM kg.api_keys"), "0");
  CAF_CHECK_EQUAL(value("SELECT count(*) FROM kg.schema_migrations WHERE version LIKE '14%'"), "0");
}

CAF_TEST(D15 seeding gives one tenant one user and three keys with the agreed scopes) {
  CAF_REQUIRE_EQUAL(run(false).error, "");
  const auto later = run(true);  // also when the rest is applied already
  CAF_CHECK_EQUAL(later.error, "");
  CAF_CHECK_EQUAL(later.applied, std::vector<std::string>{"14-default-tenant"});
  CAF_CHECK_EQUAL(value("SELECT count(*) FROM kg.tenants"), "1");
  CAF_CHECK_EQUAL(value("SELECT count(*) FROM kg.users"), "1");
  CAF_CHECK_EQUAL(
      value("SELECT string_agg(user_ref || scopes::text, ' ' ORDER BY user_ref) FROM kg.api_keys"),
      "user_alice{read} user_bob{read,write} user_carol{read,write,admin,billing}");
  CAF_CHECK_EQUAL(value("SELECT string_agg(tier || ops_per_day || '/' || tokens_limit_month, ' '"
                        " ORDER BY user_ref) FROM unnest('{alice,bob,carol}'::text[]) n,"
                        " kg.resolve_api_key(encode(sha256(('kg_dev_' || n)::bytea), 'hex'))"),
                  "free100/10000 pro1000/100000 enterprise10000/0");
}

CAF_TEST(D16 the start is refused to a superuser a role with BYPASSRLS and an owner) {
  CAF_REQUIRE_EQUAL(run().error, "");
  in(name, "ALTER ROLE kg_owner LOGIN");
  for (auto user : {"postgres", "kg_admin", "kg_owner", "kg_migrator"}) {
    const auto found = problems({.database_url = url({}, user)});
    CAF_REQUIRE(!found.empty());
    CAF_CHECK(contains(found[0], std::string{"DATABASE_URL connects as "} + user));
    CAF_CHECK(contains(found[0], "Connect as kg_app"));
  }
  in(name, "ALTER ROLE kg_owner NOLOGIN");
  CAF_CHECK(
      problems({.database_url = url({}, "kg_app"), .control_url = url({}, "kg_control")}).empty());
  const auto control =
      problems({.database_url = url({}, "kg_app"), .control_url = url({}, "kg_admin")});
  CAF_REQUIRE_EQUAL(control.size(), 1u);
  CAF_CHECK(contains(control[0], "Connect as kg_control"));
  CAF_CHECK(problems({.database_url = url({}, "postgres"), .allow_privileged = true}).empty());
}

CAF_TEST(D16 the start is refused on a schema that is missing old or other) {
  auto check = [&] { return problems({.database_url = url({}, "kg_app")}); };
  CAF_REQUIRE_EQUAL(fixture{}.run().error, "");  // the roles
  CAF_REQUIRE(!check().empty());
  CAF_CHECK(contains(check()[0], "kgentsd migrate"));

  const std::string latest{latest_migration()};
  CAF_REQUIRE_EQUAL(run(false, without(latest)).error, "");
  CAF_REQUIRE_EQUAL(check().size(), 1u);
  CAF_CHECK(contains(check()[0], latest + " is not applied"));

  CAF_REQUIRE_EQUAL(run().error, "");
  CAF_CHECK(check().empty());
  in(name, "UPDATE kg.schema_migrations SET checksum = 'x' WHERE version = '05-tenants'");
  CAF_REQUIRE_EQUAL(check().size(), 1u);
  CAF_CHECK(contains(check()[0], "05-tenants"));
}

CAF_TEST(D16 production refuses a database with development keys) {
  CAF_REQUIRE_EQUAL(run(true).error, "");
  CAF_CHECK(problems({.database_url = url({}, "kg_app")}).empty());
  const auto found = problems({.database_url = url({}, "kg_app"), .production = true});
  CAF_REQUIRE_EQUAL(found.size(), 1u);
  CAF_CHECK(contains(found[0], "development keys"));
  in(name, "DELETE FROM kg.api_keys");
  CAF_CHECK(problems({.database_url = url({}, "kg_app"), .production = true}).empty());
}

CAF_TEST(D16 a database out of reach is told apart from a wrong one) {
  const auto result = self_check({.database_url = "postgresql://kg_app@127.0.0.1:1/none"});
  CAF_CHECK(!result.reachable);
  CAF_CHECK_EQUAL(result.problems.size(), 1u);
}

CAF_TEST_FIXTURE_SCOPE_END()
