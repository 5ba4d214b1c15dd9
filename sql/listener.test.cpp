// needs: postgres
#define CAF_SUITE listener

#include "sql/listener.hpp"

#include <stdlib.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "sql/blocking.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents::sql;

namespace {

constexpr auto patience = 60s;  // longer than anything here takes on a busy machine

const char* server() {
  const auto* url = std::getenv("KGENTS_TEST_PG");
  CAF_REQUIRE(url != nullptr);
  return url;
}

/// As superuser.
void run(const std::string& statement) {
  blocking_connection connection{server()};
  CAF_REQUIRE_EQUAL(connection.run(statement.c_str()).value_or(""), "");
}

std::string socket_folder() {
  blocking_connection connection{server()};
  const auto row = connection.query("SHOW unix_socket_directories");
  CAF_REQUIRE(row != nullptr);
  return PQgetvalue(row.get(), 0, 0);
}

struct fixture {
  fixture() { options = {.url = server(), .channels = {"Some \"channel\"", "another"}}; }

  ~fixture() {
    subject.reset();
    guard.reset();
    thread.join();
  }

  void start() {
    subject = std::make_unique<listener>(
        context, options,
        listener_events{.listening = [this] { heard("(listening)"); },
                        .notified =
                            [this](std::string_view channel, std::string_view x) {
                              heard((channel == "another" ? "another: " : "") + std::string{x});
                            },
                        .pooled = [this] { heard("(pooled)"); }});
  }

  void heard(std::string what) {
    std::lock_guard lock{mutex};
    said.push_back(std::move(what));
    changed.notify_all();
  }

  std::string next() {
    std::unique_lock lock{mutex};
    CAF_REQUIRE(changed.wait_for(lock, patience, [this] { return !said.empty(); }));
    auto result = std::move(said.front());
    said.pop_front();
    return result;
  }

  /// What is still to be heard, once the thread has done all that was asked of it before.
  size_t rest() {
    std::promise<void> done;
    boost::asio::post(context, [&] { done.set_value(); });
    CAF_REQUIRE(done.get_future().wait_for(patience) == std::future_status::ready);
    std::lock_guard lock{mutex};
    return said.size();
  }

  static void notify(const std::string& payload) {
    run("SELECT pg_notify('Some \"channel\"', '" + payload + "')");
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  listener_options options;
  std::unique_ptr<listener> subject;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> said;
  std::thread thread{[this] { context.run(); }};
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(listener_tests, fixture)

CAF_TEST(it hears what is said on its channels in order and nothing else) {
  start();
  CAF_CHECK_EQUAL(next(), "(listening)");
  run("NOTIFY some_other_channel, 'x'");
  notify("1");
  notify("");
  run("NOTIFY another, 'y'");
  notify("3");
  CAF_CHECK_EQUAL(next(), "1");
  CAF_CHECK_EQUAL(next(), "");
  CAF_CHECK_EQUAL(next(), "another: y");
  CAF_CHECK_EQUAL(next(), "3");
}

CAF_TEST(it comes back after its connection was lost and says that it may have missed something) {
  start();
  CAF_CHECK_EQUAL(next(), "(listening)");
  for (int i = 0; i < 3; ++i) {
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'kgentsd-listener'");
    CAF_CHECK_EQUAL(next(), "(listening)");
    notify(std::to_string(i));
    CAF_CHECK_EQUAL(next(), std::to_string(i));
  }
}

CAF_TEST(a server that hangs up is tried again until it does not) {
  const std::string real = socket_folder();
  char folder[] = "/tmp/kgents-listener.XXXXXX";
  CAF_REQUIRE(mkdtemp(folder) != nullptr);
  const auto path = std::string{folder} + "/.s.PGSQL.5432";
  {
    // Two attempts come to nothing …
    boost::asio::io_context here;
    using local = boost::asio::local::stream_protocol;
    local::acceptor acceptor{here, local::endpoint{path}};
    options.url = "host=" + std::string{folder} + " port=5432 user=postgres dbname=postgres";
    options.reconnect_max = 60ms;
    start();
    for (int i = 0; i < 2; ++i)
      acceptor.accept();
    CAF_CHECK_EQUAL(rest(), 0u);
  }
  // … and one of the next ones does not.
  std::filesystem::remove(path);
  std::filesystem::create_symlink(real + "/.s.PGSQL.5432", path);
  CAF_CHECK_EQUAL(next(), "(listening)");
  notify("x");
  CAF_CHECK_EQUAL(next(), "x");
  std::filesystem::remove_all(folder);
}

CAF_TEST(nothing is heard after stop) {
  start();
  CAF_CHECK_EQUAL(next(), "(listening)");
  subject->stop();
  subject->stop();
  CAF_CHECK_EQUAL(rest(), 0u);
  notify("late");
  CAF_CHECK_EQUAL(rest(), 0u);
}

CAF_TEST(it may be destroyed by what it calls) {
  std::promise<void> done;
  // On the thread that calls, so that the assignment comes first.
  boost::asio::post(context, [&] {
    const listener_events events{.listening =
                                     [&] {
                                       subject.reset();
                                       done.set_value();
                                     },
                                 .notified = [](std::string_view, std::string_view) {}};
    subject = std::make_unique<listener>(context, options, events);
  });
  CAF_REQUIRE(done.get_future().wait_for(patience) == std::future_status::ready);
  CAF_CHECK_EQUAL(rest(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
