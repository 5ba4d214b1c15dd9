#pragma once

// What the tests of self's repositories stand on: a migrated database and two tenants.

#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "sql/blocking.hpp"
#include "sql/migrate.hpp"
#include "sql/query.hpp"

#include <caf/test/dsl.hpp>

namespace kgents::sql {

/// One line of text from the database.
inline std::string look_up(const std::string& url, const std::string& statement) {
  blocking_connection connection{url};
  const auto result = connection.query(statement.c_str());
  CAF_REQUIRE_EQUAL(connection.last_error(), "");
  return PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

/// Made once for all tests of this process.
inline const std::string& self_database() {
  static const std::string base = [] {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    auto out = "host='" + look_up(server, "SHOW unix_socket_directories") +
               "' port=" + look_up(server, "SHOW port") + " dbname=self";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE self"));
    const auto failed = migrate({.url = out + " user=postgres"});
    CAF_REQUIRE_EQUAL(failed.value_or(""), "");
    return out;
  }();
  return base;
}

struct self_fixture {
  self_fixture() : a{provision()}, b{provision()} {}

  ~self_fixture() {
    app.stop();
    guard.reset();
    thread.join();
  }

  static std::string admin(const std::string& statement) {
    return look_up(self_database() + " user=postgres", statement);
  }

  /// Runs it with the application's role.
  template <class T>
  T ask(query<T> what) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(app, std::move(what), [promise](answer<T> x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(future.wait_for(std::chrono::seconds{60}) == std::future_status::ready);
    auto result = future.get();
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }

  static tenant_id provision() {
    static int count = 0;
    return *tenant_id::parse(admin("SELECT kg.provision_tenant('T', 'self-" +
                                   std::to_string(++count) + "', 'pro', 'owner@example.org')"));
  }

  boost::asio::io_context context;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = self_database() + " user=kg_app", .connections = 2}};
  std::thread thread{[this] { context.run(); }};
  tenant_id a;
  tenant_id b;
};

}  // namespace kgents::sql
