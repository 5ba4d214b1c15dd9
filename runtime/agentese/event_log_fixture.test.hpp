#pragma once

#include <caf/event_based_actor.hpp>
#include <cstdlib>

#include "protocol/agentese_event.hpp"
#include "runtime/agentese/journal.hpp"
#include "sql/agentese_events.hpp"
#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

/// A tenant's event log in a real PostgreSQL.
namespace kgents::runtime::agentese::test {

using namespace std::chrono_literals;

inline constexpr auto patience = 60s;  // longer than anything here takes on a busy machine

/// One value from the database.
inline std::string look(const std::string& url, const std::string& statement) {
  sql::blocking_connection connection{url};
  const auto result = connection.query(statement.c_str());
  CAF_REQUIRE_EQUAL(connection.last_error(), "");
  return PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

/// A migrated database of that name.
struct database {
  explicit database(const std::string& name) {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    base = "host='" + look(server, "SHOW unix_socket_directories") +
           "' port=" + look(server, "SHOW port") + " dbname=" + name;
    const auto make = "CREATE DATABASE " + name;
    CAF_REQUIRE(!sql::blocking_connection{server}.run(make.c_str()));
    CAF_REQUIRE_EQUAL(sql::migrate({.url = as("postgres")}).value_or(""), "");
  }

  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }
  std::string admin(const std::string& statement) const {
    return look(as("postgres"), statement);
  }
  [[nodiscard]] tenant_id new_tenant() const {
    static int count = 0;
    return *tenant_id::parse(admin("SELECT kg.provision_tenant('T', 'tenant-" +
                                   std::to_string(++count) + "', 'pro', 'owner@example.org')"));
  }

  std::string base;
};

inline mark some_mark(tenant_id tenant, std::string node = "void.entropy",
                      std::string data = "{}") {
  mark out;
  out.tenant = tenant;
  out.event_id = uuid::time_ordered();
  out.node = std::move(node);
  out.aspect = "sip";
  out.archetype = "poet";
  out.data = std::move(data);
  out.origin = "gateway";
  out.at = std::chrono::system_clock::now();
  return out;
}

}  // namespace kgents::runtime::agentese::test
