// needs: postgres
#define CAF_SUITE log_writer

#include "runtime/log_writer.hpp"

#include <caf/event_based_actor.hpp>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "runtime/limits.hpp"
#include "sql/blocking.hpp"
#include "sql/migrate.hpp"
#include "sql/sessions.hpp"
#include "sql/turns.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;

namespace {

constexpr auto patience = 60s;  // longer than anything here takes on a busy machine

/// One value from the database, as superuser.
std::string look(const std::string& url, const std::string& statement) {
  sql::blocking_connection connection{url};
  const auto result = connection.query(statement.c_str());
  CAF_REQUIRE_EQUAL(connection.last_error(), "");
  return PQntuples(result.get()) == 0 ? "" : PQgetvalue(result.get(), 0, 0);
}

/// A migrated database, made once for all tests of this process.
struct database {
  database() {
    const auto* server = std::getenv("KGENTS_TEST_PG");
    CAF_REQUIRE(server != nullptr);
    folder = look(server, "SHOW unix_socket_directories");
    rest = " port=" + look(server, "SHOW port") + " dbname=log_writer";
    CAF_REQUIRE(!sql::blocking_connection{server}.run("CREATE DATABASE log_writer"));
    CAF_REQUIRE_EQUAL(sql::migrate({.url = as("postgres")}).value_or(""), "");
  }

  [[nodiscard]] std::string as(const std::string& user, const std::string& where = "") const {
    return "host='" + (where.empty() ? folder : where) + "'" + rest + " user=" + user;
  }

  std::string folder, rest;
};

const database& shared_database() {
  static const database instance;
  return instance;
}

struct reader : log_reader {
  int told = 0;
  void advanced() override { ++told; }
};

/// A turn that runs, with its session's log and an owner that remembers what it is told.
struct running {
  turn_id turn;
  lease_epoch epoch = 1;
  log_ptr log;
  reader follower;
  caf::actor owner;
  int committed = 0;
  std::vector<log_refused> refused;
  chunk_index next = 0;
};

/// In front of a pool: knows who is apart, and can keep back what is written for those.
struct planes : sql::transactor {
  sql::transactor* behind = nullptr;
  std::set<tenant_id> own;
  bool unreachable = false;
  std::set<tenant_id> to_find;  // who is apart once a move was met
  std::vector<sql::callback> kept;

  void submit(sql::transaction work, sql::callback done) override {
    if (work.about && unreachable) {
      kept.push_back(std::move(done));
      return;
    }
    behind->submit(std::move(work), [this, done = std::move(done)](sql::outcome out) {
      const auto* why = std::get_if<sql::failure>(&out);
      if (why != nullptr && why->what == sql::failure::kind::moving)
        own.insert(to_find.begin(), to_find.end());
      done(std::move(out));
    });
  }
  bool apart(const tenant_id& x) const override { return own.contains(x); }
};

caf::behavior listener(caf::event_based_actor*, running* x) {
  return {[x](log_committed) { ++x->committed; },
          [x](const log_refused& why) { x->refused.push_back(why); }};
}

struct fixture : test_coordinator_fixture<> {
  boost::asio::io_context context{1};  // run by the test
  io_threads threads{1};               // the same
  runtime::hubs hubs{threads.all()};
  session_logs logs;
  sql::pool app{context, {.url = shared_database().as("kg_app"), .connections = 1}};
  std::optional<sql::pool> control;
  planes routed;
  std::optional<log_writer> writer;
  tenant_id tenant;
  std::deque<running> all;  // stay where they are
  std::vector<size_t> commits;
  int retries = 0;

  fixture() { tenant = new_tenant(); }

  static tenant_id new_tenant() {
    static int count = 0;
    return *tenant_id::parse(admin("SELECT kg.provision_tenant('T', 'tenant-" +
                                   std::to_string(++count) + "', 'pro', 'owner@example.org')"));
  }

  ~fixture() override {
    for (auto& x : all) {
      hubs[0].unsubscribe(x.log, x.follower);
      caf::anon_send_exit(x.owner, caf::exit_reason::kill);
    }
    consume_messages();
    writer.reset();
    app.stop();
    if (control)
      control->stop();
    poll();
  }

  void poll() {
    context.restart();
    context.poll();
  }

  static std::string admin(const std::string& statement) {
    return look(shared_database().as("postgres"), statement);
  }

  void write(durability mode = durability::durable, const std::string& folder = "") {
    control.emplace(context, sql::pool_options{.url = shared_database().as("kg_control", folder),
                                               .connections = limits::log_connections,
                                               .max_in_flight = 1,
                                               .reconnect_max = 100ms});
    log_writer_probe probe;
    probe.committed = [this](size_t rows, double) { commits.push_back(rows); };
    probe.retried = [this] { ++retries; };
    routed.behind = &*control;
    writer.emplace(context, routed, hubs, mode, probe);
  }

  /// Runs what is posted until `done`.
  template <class Done>
  void run_until(Done done) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (!done()) {
      CAF_REQUIRE(std::chrono::steady_clock::now() < give_up);
      context.restart();
      context.run_one_for(100ms);
      threads[0].context().poll();
      consume_messages();
    }
  }

  template <class T>
  T ask(sql::query<T> what) {
    std::optional<sql::answer<T>> out;
    sql::run(app, std::move(what), [&out](sql::answer<T> x) { out = std::move(x); });
    run_until([&] { return out.has_value(); });
    CAF_REQUIRE(std::holds_alternative<T>(*out));
    return std::get<T>(std::move(*out));
  }

  running& turn() {
    const auto session = ask(sql::sessions::create(
        tenant, {.id = session_id{uuid::random()}, .usage = usage_id{uuid::time_ordered()}}));
    const auto begun = ask(sql::turns::begin(tenant, {.turn = turn_id{uuid::random()},
                                                      .session = session.id,
                                                      .message = message_id{uuid::random()},
                                                      .answer = message_id{uuid::random()},
                                                      .content = "hello",
                                                      .budget = "dialogue",
                                                      .usage = usage_id{uuid::time_ordered()}}));
    auto& x = all.emplace_back();
    x.turn = begun.turn;
    x.epoch = begun.epoch;
    x.log = logs.open(session_entity(tenant, session.id));
    x.owner = sys.spawn(listener, &x);
    CAF_CHECK(x.log->begin(0, x.owner.address(), session_log::start::anywhere));
    hubs[0].subscribe(x.log, x.follower);
    return x;
  }

  void append(running& x, const std::string& text, bool show_now = false) {
    x.log->append_chunk(make_chunk_event(x.turn, x.epoch, x.next++, text), show_now, 0);
    writer->appended(x.log);
  }

  /// Until PostgreSQL has everything.
  void settle() {
    run_until([this] {
      return std::all_of(all.begin(), all.end(), [](auto& x) { return x.log->all_committed(); });
    });
  }

  static std::string shown(const running& x) {
    std::vector<event_ptr> events;
    uint64_t position = 0;
    CAF_CHECK(x.log->read(position, events, 1000));
    std::string out;
    for (const auto& e : events)
      out += e->text;
    return out;
  }

  static std::string stored(const running& x) {
    return admin(
        "SELECT coalesce(string_agg(text, '' ORDER BY index), '') FROM kg.turn_chunks "
        "WHERE turn_id = '" +
        x.turn.text() + "'");
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(log_writer_tests, fixture)

CAF_TEST(a chunk is stored and then shown and then its readers are told) {
  write();
  auto& x = turn();
  append(x, "A");
  CAF_CHECK_EQUAL(shown(x), "");
  run_until([&] { return x.follower.told > 0; });
  CAF_CHECK_EQUAL(shown(x), "A");
  CAF_CHECK_EQUAL(stored(x), "A");
  CAF_CHECK_EQUAL(x.committed, 0);  // it did not wait for it
}

CAF_TEST(an owner that waits for its chunks is told once when all are stored) {
  write();
  auto& x = turn();
  append(x, "A");
  CAF_CHECK(x.log->want_commit());
  settle();
  run_until([&] { return x.committed > 0; });
  append(x, "B");
  settle();
  consume_messages();
  CAF_CHECK_EQUAL(x.committed, 1);
}

CAF_TEST(what arrives while a commit is under way rides in the next) {
  write();
  for (int i = 0; i < 20; ++i)
    turn();
  append(all[0], "first ");
  poll();  // it is on its way now
  for (const auto* text : {"A", "B", "C"})
    for (auto& x : all)
      append(x, text);
  settle();
  CAF_CHECK_EQUAL(commits, std::vector<size_t>({1, 60}));
  CAF_CHECK_EQUAL(stored(all[0]), "first ABC");
  CAF_CHECK_EQUAL(shown(all[0]), "first ABC");
  for (size_t i = 1; i < all.size(); ++i)
    CAF_CHECK_EQUAL(stored(all[i]), "ABC");
}

CAF_TEST(a second commit goes beside the first when there is much to write and not for little) {
  write();
  const auto worth_it = limits::log_batch_rows / 4;
  for (size_t i = 0; i < worth_it + 2; ++i)
    turn();
  // The first commit waits for this one's lock.
  sql::blocking_connection lock{shared_database().as("postgres")};
  CAF_REQUIRE(!lock.run("BEGIN"));
  const auto take = "SELECT FROM kg.turns WHERE id = '" + all[0].turn.text() + "' FOR UPDATE";
  CAF_REQUIRE(!lock.run(take.c_str()));
  append(all[0], "x");
  poll();
  append(all[1], "x");
  poll();
  CAF_CHECK_EQUAL(control->stats().queued + control->stats().in_flight, 1u);
  for (size_t i = 2; i < all.size(); ++i)
    append(all[i], "x");
  run_until([this] { return !commits.empty(); });
  CAF_CHECK_EQUAL(commits, std::vector<size_t>{worth_it + 1});
  CAF_CHECK_EQUAL(shown(all[0]), "");
  CAF_CHECK_EQUAL(shown(all[1]), "x");
  CAF_REQUIRE(!lock.run("COMMIT"));
  settle();
  CAF_CHECK_EQUAL(shown(all[0]), "x");
}

CAF_TEST(a long answer is written in its order however it is cut into batches) {
  write();
  auto& x = turn();
  std::string all_of_it;
  for (int i = 0; i < 1500; ++i) {
    const auto text = std::to_string(i) + " ";
    all_of_it += text;
    append(x, text);
    if (i % 100 == 0)
      poll();
  }
  settle();
  CAF_CHECK_EQUAL(stored(x), all_of_it);
  for (const auto rows : commits)
    CAF_CHECK(rows <= limits::log_batch_rows);
}

CAF_TEST(chunks of an old epoch are refused and the others of their batch are stored) {
  write();
  auto& old = turn();
  auto& good = turn();
  ask(sql::turns::claim(tenant, old.turn));
  append(old, "stale");
  append(good, "A");
  run_until([&] { return !old.refused.empty() && good.log->all_committed(); });
  CAF_CHECK_EQUAL(commits, std::vector<size_t>{2});
  CAF_CHECK(old.refused[0].fenced);
  CAF_CHECK(old.refused[0].turn == old.turn);
  CAF_CHECK_EQUAL(old.refused[0].epoch, 1u);
  CAF_CHECK_EQUAL(stored(old), "");
  CAF_CHECK_EQUAL(shown(old), "");
  CAF_CHECK_EQUAL(old.follower.told, 0);
  CAF_CHECK_EQUAL(stored(good), "A");
  // The new owner goes on in the same log.
  old.log->drop_uncommitted();
  old.epoch = 2;
  old.next = 0;
  append(old, "fresh");
  settle();
  CAF_CHECK_EQUAL(stored(old), "fresh");
}

CAF_TEST(a tenant that is apart commits on its own and what it waits for holds up nobody) {
  write();
  auto& here = turn();
  tenant = new_tenant();
  auto& there = turn();
  routed.own.insert(tenant);
  routed.unreachable = true;
  append(there, "far ");
  append(here, "near ");
  run_until([&] { return here.log->all_committed(); });
  CAF_CHECK_EQUAL(stored(here), "near ");
  for (int i = 0; i < 5; ++i) {
    append(there, "x");
    append(here, "y");
    run_until([&] { return here.log->all_committed(); });
  }
  CAF_CHECK_EQUAL(shown(there), "");
  routed.unreachable = false;
  for (auto& done : std::exchange(routed.kept, {}))
    done(sql::failure{sql::failure::kind::unavailable, {}, "out of reach", {}});
  settle();
  CAF_CHECK_EQUAL(stored(there), "far xxxxx");
  CAF_CHECK_EQUAL(stored(here), "near yyyyy");
  CAF_CHECK_EQUAL(shown(there), "far xxxxx");
}

CAF_TEST(chunks of a tenant that begins to move wait and the others of their batch are stored) {
  write();
  auto& here = turn();
  tenant = new_tenant();
  auto& there = turn();
  routed.to_find.insert(tenant);
  admin("INSERT INTO kg.tenant_moves (tenant_id, state) VALUES ('" + tenant.text() +
        "', 'copying')");
  append(there, "far");
  append(here, "near");
  run_until([&] { return here.log->all_committed(); });
  CAF_CHECK_EQUAL(stored(here), "near");
  CAF_CHECK_EQUAL(stored(there), "");
  CAF_CHECK(there.refused.empty());
  admin("DELETE FROM kg.tenant_moves");
  settle();
  CAF_CHECK_EQUAL(stored(there), "far");
  CAF_CHECK(retries > 0);
}

CAF_TEST(a chunk that PostgreSQL cannot hold is found among the others and refused alone) {
  write();
  auto& bad = turn();
  auto& good = turn();
  append(bad, "\xff");
  append(good, "A");
  run_until([&] { return !bad.refused.empty() && good.log->all_committed(); });
  CAF_CHECK(!bad.refused[0].fenced);
  CAF_CHECK_EQUAL(stored(good), "A");
  CAF_CHECK(good.refused.empty());
  bad.log->drop_uncommitted();
  bad.next = 0;
  append(bad, "B");
  settle();
  CAF_CHECK_EQUAL(stored(bad), "B");
}

CAF_TEST(while the server is away nothing is shown and afterwards nothing is missing) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("kgents-away-" + std::to_string(::getpid()));
  write(durability::durable, folder.string());
  auto& x = turn();
  append(x, "A");
  run_until([&] { return retries >= 2; });
  append(x, "B");
  CAF_CHECK_EQUAL(shown(x), "");
  CAF_CHECK(commits.empty());
  CAF_CHECK(logs.uncommitted_bytes() == 2u);
  std::filesystem::create_directory_symlink(shared_database().folder, folder);
  settle();
  std::filesystem::remove(folder);
  CAF_CHECK_EQUAL(shown(x), "AB");
  CAF_CHECK_EQUAL(stored(x), "AB");
  CAF_CHECK(logs.uncommitted_bytes() == 0u);
}

CAF_TEST(chunks whose commit was cut off are sent again and stored once) {
  write();
  auto& x = turn();
  append(x, "A");
  settle();
  append(x, "B");
  poll();  // it is on its way now
  admin(
      "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'kg_control' "
      "AND datname = 'log_writer'");
  append(x, "C");
  settle();
  CAF_CHECK_EQUAL(stored(x), "ABC");
  CAF_CHECK_EQUAL(shown(x), "ABC");
}

CAF_TEST(with memory durability what is shown already is written behind) {
  write(durability::memory);
  auto& x = turn();
  append(x, "A", true);
  CAF_CHECK_EQUAL(shown(x), "A");
  CAF_CHECK(!x.log->all_committed());
  settle();
  CAF_CHECK_EQUAL(stored(x), "A");
  CAF_CHECK_EQUAL(x.follower.told, 0);  // the session tells them
}

CAF_TEST_FIXTURE_SCOPE_END()
