#include "sql/self_check.hpp"

#include <functional>
#include <map>

#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

namespace kgents::sql {

namespace {

void check_role(blocking_connection& connection, const std::string& setting,
                std::vector<std::string>& problems) {
  // pg_has_role is true for a superuser whatever the role, hence the order of the columns.
  const auto row = connection.query(
      "SELECT r.rolname, r.rolsuper, r.rolbypassrls,"
      "       EXISTS (SELECT FROM pg_roles o WHERE o.rolname IN ('kg_owner', 'kg_definer', "
      "'kg_admin')"
      "                  AND pg_has_role(r.oid, o.oid, 'MEMBER'))"
      "       OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      "                   WHERE n.nspname = 'kg' AND c.relowner = r.oid)"
      "  FROM pg_roles r WHERE r.rolname = current_user");
  if (!row) {
    problems.push_back(setting + ": cannot read its role: " + connection.last_error());
    return;
  }
  auto is = [&](int column) { return *PQgetvalue(row.get(), 0, column) == 't'; };
  const std::string who = setting + " connects as " + PQgetvalue(row.get(), 0, 0) + ", ";
  const std::string instead = "; row-level security would not bind it. Connect as " +
                              std::string{setting == "DATABASE_URL" ? "kg_app" : "kg_control"};
  if (is(1))
    problems.push_back(who + "a superuser" + instead);
  else if (is(2))
    problems.push_back(who + "a role with BYPASSRLS" + instead);
  else if (is(3))
    problems.push_back(who + "an owner of the tables or a member of one" + instead);
}

void check_schema(blocking_connection& connection, std::vector<std::string>& problems) {
  const auto rows = connection.query("SELECT version, checksum FROM kg.schema_version()");
  if (!rows) {
    problems.push_back("the database has no schema that this program knows: " +
                       connection.last_error() + ". Run kgentsd migrate");
    return;
  }
  std::map<std::string, std::string, std::less<>> applied;
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    applied.emplace(PQgetvalue(rows.get(), i, 0), PQgetvalue(rows.get(), i, 1));
  for (const auto& file : embedded_migrations()) {
    const auto known = applied.find(file.name);
    if (known == applied.end()) {
      if (!seeds_development_data(file))
        problems.push_back("migration " + std::string{file.name} +
                           " is not applied. Run kgentsd migrate");
    } else if (known->second != checksum(file)) {
      problems.push_back("migration " + std::string{file.name} +
                         " was applied with another text than this program has. Run the program "
                         "that fits the database");
    }
  }
}

void check_development_keys(blocking_connection& connection, std::vector<std::string>& problems) {
  const auto row = connection.query("SELECT kg.development_keys_exist()");
  if (!row)
    problems.push_back("cannot look for development keys: " + connection.last_error());
  else if (*PQgetvalue(row.get(), 0, 0) == 't')
    problems.push_back(
        "the database accepts the published development keys (kg_dev_…). Delete them from "
        "kg.api_keys, or set KGENTS_ENV=dev if this is no production");
}

}  // namespace

self_check_result self_check(const self_check_options& options) {
  self_check_result out;
  auto connect = [&](const std::string& setting, const std::string& url,
                     const std::function<void(blocking_connection&)>& then) {
    blocking_connection connection{url};
    if (auto error = connection.error(); !error.empty()) {
      out.reachable = false;
      out.problems.push_back(setting + " is out of reach: " + error);
      return;
    }
    if (!options.allow_privileged)
      check_role(connection, setting, out.problems);
    then(connection);
  };
  connect("DATABASE_URL", options.database_url, [&](blocking_connection& connection) {
    const auto before = out.problems.size();
    check_schema(connection, out.problems);
    if (options.production && out.problems.size() == before)
      check_development_keys(connection, out.problems);
  });
  if (!options.control_url.empty())
    connect("DATABASE_CONTROL_URL", options.control_url, [](blocking_connection&) {});
  return out;
}

}  // namespace kgents::sql
