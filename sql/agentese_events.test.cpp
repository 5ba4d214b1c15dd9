// needs: postgres
#define CAF_SUITE agentese_events

#include "sql/agentese_events.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;
namespace events = kgents::sql::agentese_events;

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
           "' port=" + look(server, "SHOW port") + " dbname=agentese_events";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE agentese_events"));
    CAF_REQUIRE_EQUAL(migrate({.url = as("postgres")}).value_or(""), "");
  }

  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }

  std::string base;
};

const database& shared_database() {
  static const database instance;
  return instance;
}

struct fixture {
  fixture() : tenant{make_tenant()} {
    thread = std::thread{[this] { context.run(); }};
  }

  ~fixture() {
    app.stop();
    control.stop();
    guard.reset();
    thread.join();
  }

  static tenant_id make_tenant() {
    static int count = 0;
    const auto made = "SELECT kg.provision_tenant('T', 'tenant-" + std::to_string(++count) +
                      "', 'pro', 'owner@example.org')";
    return *tenant_id::parse(admin(made.c_str()));
  }

  static std::string admin(const char* statement) {
    return look(shared_database().as("postgres"), statement);
  }

  template <class T>
  answer<T> try_ask(query<T> what, pool& where) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(where, std::move(what), [promise](answer<T> x) { promise->set_value(std::move(x)); });
    CAF_REQUIRE(future.wait_for(60s) == std::future_status::ready);
    return future.get();
  }

  template <class T>
  T ask(query<T> what, pool& where) {
    auto result = try_ask(std::move(what), where);
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }
  template <class T>
  T ask(query<T> what) {
    return ask(std::move(what), app);
  }

  agentese_mark mark(std::string node = "void.entropy") const {
    agentese_mark out;
    out.tenant = tenant;
    out.event_id = uuid::time_ordered();
    out.node = std::move(node);
    out.aspect = "sip";
    out.archetype = "poet";
    out.data = R"({"amount": 0.1, "text": "a \"quoted\" {word}, \\ and ünïcode"})";
    out.origin = "gateway";
    out.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    out.at = std::chrono::system_clock::now();
    return out;
  }

  auto log(const std::vector<agentese_mark>& marks) {
    mark_batch batch;
    for (const auto& x : marks)
      batch.add(x);
    return ask(batch.take(), control);
  }

  /// So many events.
  void log_many(int count, std::string node = "void.entropy") {
    std::vector<agentese_mark> marks;
    for (int i = 0; i < count; ++i)
      marks.push_back(mark(node));
    log(marks);
  }

  std::vector<int64_t> seqs(const std::vector<agentese_event_ptr>& all) {
    std::vector<int64_t> out;
    for (const auto& x : all)
      out.push_back(x->seq);
    return out;
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared_database().as("kg_app"), .connections = 2}};
  pool control{context, {.url = shared_database().as("kg_control"), .connections = 4}};
  std::thread thread;
  tenant_id tenant;
};

using seq_list = std::vector<int64_t>;

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_events_tests, fixture)

CAF_TEST(what was logged is read back as it was) {
  auto x = mark();
  x.observer_id = "alice";
  x.duration_ms = 12;
  x.tokens = 34;
  x.span_id = "00f067aa0ba902b7";
  x.caller = "self.soul";
  x.status = "ok";
  const auto grown = log({x});
  CAF_REQUIRE_EQUAL(grown.size(), 1u);
  CAF_CHECK(grown[0] == std::pair(tenant, int64_t{1}));
  const auto all = ask(events::page(tenant, 0, 10));
  CAF_REQUIRE_EQUAL(all.size(), 1u);
  const auto& e = *all[0];
  CAF_CHECK_EQUAL(e.seq, 1);
  CAF_CHECK(e.event_id == x.event_id);
  CAF_CHECK(e.type == agentese_event_type::invoked);
  CAF_CHECK_EQUAL(e.path, x.node);
  CAF_CHECK_EQUAL(e.aspect, x.aspect);
  CAF_CHECK_EQUAL(e.archetype, "poet");
  CAF_CHECK_EQUAL(e.observer, "alice");
  CAF_CHECK_EQUAL(e.data, x.data);
  CAF_CHECK_EQUAL(e.duration_ms, 12u);
  CAF_CHECK_EQUAL(e.tokens, 34u);
  CAF_CHECK_EQUAL(e.trace_id, x.trace_id);
  CAF_CHECK_EQUAL(e.span_id, x.span_id);
  CAF_CHECK_EQUAL(e.parent_span_id, "");
  CAF_CHECK_EQUAL(e.origin, "gateway");
  CAF_CHECK_EQUAL(e.caller, "self.soul");
  CAF_CHECK_EQUAL(e.timestamp_us, std::chrono::duration_cast<std::chrono::microseconds>(
                                      x.at.time_since_epoch())
                                      .count());
  CAF_CHECK_EQUAL(e.timestamp.size(), std::string_view{"2026-01-05T09:00:00.000000+00:00"}.size());
}

CAF_TEST(a batch that is sent again counts once) {
  auto first = mark();
  first.usage = usage_id{uuid::time_ordered()};
  first.tokens_in = 2;
  first.tokens_out = 3;
  log({first});
  auto second = mark();
  const auto grown = log({first, second});
  CAF_CHECK(grown.at(0).second == 2);
  CAF_CHECK(log({first, second}).empty());
  CAF_CHECK_EQUAL(ask(events::page(tenant, 0, 10)).size(), 2u);
  const auto used = ask(usage::summary(tenant, admin("SELECT to_char(now(), 'YYYY-MM')")));
  CAF_CHECK_EQUAL(used.events, 1u);
  CAF_CHECK_EQUAL(used.tokens_out, 3u);
}

CAF_TEST(seqs have no hole whoever writes and appear in their order) {
  const auto other = make_tenant();
  std::vector<std::future<void>> writers;
  for (int w = 0; w < 4; ++w) {
    std::vector<query<std::vector<std::pair<tenant_id, int64_t>>>> batches;
    for (int b = 0; b < 20; ++b) {
      mark_batch batch;
      for (int i = 0; i < 5; ++i) {
        auto x = mark();
        x.tenant = (i + w) % 2 == 0 ? tenant : other;
        x.usage = usage_id{uuid::time_ordered()};
        x.tokens_in = 1;
        batch.add(x);
      }
      batches.push_back(batch.take());
    }
    for (auto& batch : batches) {
      auto done = std::make_shared<std::promise<void>>();
      writers.push_back(done->get_future());
      run(control, std::move(batch),
          [done](const answer<std::vector<std::pair<tenant_id, int64_t>>>& out) {
            if (out.index() == 0)
              done->set_value();
            else
              done->set_exception(
                  std::make_exception_ptr(std::runtime_error{std::get<failure>(out).message}));
          });
    }
  }
  // A reader in the meantime: it never finds anything below what it has read.
  int64_t read = 0;
  while (read < 200) {
    for (const auto& x : ask(events::page(tenant, read, 1000)))
      CAF_CHECK_EQUAL(x->seq, ++read);
    for (auto& writer : writers)
      if (writer.valid() && writer.wait_for(0s) == std::future_status::ready)
        writer.get();
  }
  for (auto& writer : writers)
    if (writer.valid())
      writer.get();
  CAF_CHECK_EQUAL(ask(events::ends(tenant)).last_seq, 200);
  CAF_CHECK_EQUAL(ask(events::ends(other)).last_seq, 200);
}

CAF_TEST(a change is logged when it is committed and only then) {
  transaction work{.tenant = tenant, .statements = {events::change_statement("world.house", "{}")}};
  const query<nothing> good{work, [](std::vector<rows>&) { return nothing{}; }};
  ask(good);
  work.statements.insert(work.statements.begin(), events::change_statement("world.barn", "{}"));
  work.statements.push_back({"SELECT 1 / 0"});
  const query<nothing> bad{work, good.parse};
  CAF_CHECK_EQUAL(try_ask(bad, app).index(), 1u);
  log_many(1);
  const auto all = ask(events::page(tenant, 0, 10));
  CAF_REQUIRE_EQUAL(all.size(), 2u);
  CAF_CHECK_EQUAL(all[0]->path, "world.house");
  CAF_CHECK(all[0]->type == agentese_event_type::changed);
  CAF_CHECK_EQUAL(all[0]->archetype, "system");
  CAF_CHECK_EQUAL(all[1]->seq, 2);
}

CAF_TEST(data beyond the bound is left out and said to be) {
  auto x = mark();
  x.data = '"' + std::string(agentese_data_bytes, 'x') + '"';
  log({x});
  const transaction work{.tenant = tenant,
                         .statements = {events::change_statement("world.house", x.data)}};
  ask(query<nothing>{work, [](std::vector<rows>&) { return nothing{}; }});
  for (const auto& e : ask(events::page(tenant, 0, 10))) {
    CAF_CHECK_EQUAL(e->data, "");
    CAF_CHECK(e->truncated);
  }
}

CAF_TEST(a tenant sees its own log and writes none) {
  log_many(1);
  const auto other = make_tenant();
  CAF_CHECK(ask(events::page(other, 0, 10)).empty());
  CAF_CHECK_EQUAL(ask(events::ends(other)).last_seq, 0);
  const transaction forged{
      .tenant = other,
      .statements = {{"INSERT INTO kg.agentese_events (tenant_id, seq, event_id, event_type, path, "
                      "aspect, observer_archetype, status, origin) VALUES ($1, 1, $1, 'invoked', "
                      "'a.b', 'c', 'd', 'ok', 'v1')",
                      {other.text()}}}};
  const auto out = try_ask(query<nothing>{forged, [](auto&) { return nothing{}; }}, app);
  CAF_CHECK_EQUAL(std::get<failure>(out).sqlstate, "42501");
}

CAF_TEST(the history of a node is the newest of it in order) {
  log_many(2, "world.house");
  log_many(1, "world.barn");
  log_many(2, "world.house");
  CAF_CHECK_EQUAL(seqs(ask(events::of_path(tenant, "world.house", 3))), (seq_list{2, 4, 5}));
}

CAF_TEST(traces are found by text and time and counted) {
  log_many(2, "world.house");
  auto late = mark("world.Barn");
  late.at += 1h;
  log({late});
  ask(query<nothing>{{.tenant = tenant,
                      .statements = {events::change_statement("world.house", "{}")}},
                     [](std::vector<rows>&) { return nothing{}; }});
  const auto text = ask(events::traces(tenant, {.substring = "HOUSE.s", .limit = 1}));
  CAF_CHECK_EQUAL(seqs(text.events), (seq_list{2}));
  CAF_CHECK_EQUAL(text.total, 2);
  const auto everything = ask(events::traces(tenant, {}));
  CAF_CHECK_EQUAL(seqs(everything.events), (seq_list{1, 2, 3}));
  const auto changes = ask(events::traces(tenant, {.path = "world.house", .changes = true}));
  CAF_CHECK_EQUAL(seqs(changes.events), (seq_list{1, 2, 4}));
  const auto recent = ask(events::traces(tenant, {.from = late.at - 1min}));
  CAF_CHECK_EQUAL(seqs(recent.events), (seq_list{3}));
  const auto old = ask(events::traces(tenant, {.to = late.at - 1min}));
  CAF_CHECK_EQUAL(seqs(old.events), (seq_list{1, 2}));
  const auto range = ask(events::trace_range(tenant, 1, 10, 100));
  CAF_CHECK_EQUAL(seqs(range.events), (seq_list{2, 3}));
  CAF_CHECK_EQUAL(range.total, 3);
}

CAF_TEST(trimming keeps the newest and remembers what is gone) {
  log_many(30);
  CAF_CHECK_EQUAL(ask(events::trim(tenant, 10, 24h, 15), control), 15);
  CAF_CHECK_EQUAL(ask(events::trim(tenant, 10, 24h, 15), control), 5);
  CAF_CHECK_EQUAL(ask(events::trim(tenant, 10, 24h, 15), control), 0);
  const auto ends = ask(events::ends(tenant));
  CAF_CHECK_EQUAL(ends.last_seq, 30);
  CAF_CHECK_EQUAL(ends.trimmed_seq, 20);
  CAF_CHECK_EQUAL(seqs(ask(events::page(tenant, 0, 1))), seq_list{21});
  auto old = mark();
  old.at -= 25h;
  log({old});
  log_many(1);
  // What is older than allowed goes once nothing younger is before it.
  CAF_CHECK_EQUAL(ask(events::trim(tenant, 10, 24h, 100), control), 2);
  CAF_CHECK_EQUAL(ask(events::trim(tenant, 1000, 0h, 100), control), 10);
  CAF_CHECK_EQUAL(ask(events::ends(tenant)).trimmed_seq, 32);
  log_many(1);
  CAF_CHECK_EQUAL(seqs(ask(events::page(tenant, 0, 1))), seq_list{33});
}

CAF_TEST(a replay begins where it is asked to) {
  std::vector<agentese_mark> marks;
  const auto now = std::chrono::system_clock::now();
  for (int i = 0; i < 6; ++i) {
    marks.push_back(mark());
    marks.back().at = now - 1min + i * 1s;
  }
  log(marks);
  const auto behind = ask(events::replay_behind(tenant, marks[2].event_id));
  CAF_CHECK_EQUAL(behind.after, 3);
  CAF_CHECK(!behind.incomplete);
  CAF_CHECK(ask(events::replay_behind(tenant, uuid::random())).incomplete);
  CAF_CHECK_EQUAL(ask(events::replay_from(tenant, marks[4].at)).after, 4);
  CAF_CHECK_EQUAL(ask(events::replay_from(tenant, now + 1h)).after, 6);
  CAF_CHECK_EQUAL(ask(events::replay_offset(tenant, 2)).after, 2);
  CAF_CHECK_EQUAL(ask(events::replay_offset(tenant, 99)).after, 6);
  ask(events::trim(tenant, 2, 24h, 100), control);
  const auto lost = ask(events::replay_behind(tenant, marks[2].event_id));
  CAF_CHECK_EQUAL(lost.after, 4);
  CAF_CHECK(lost.incomplete);
  CAF_CHECK(ask(events::replay_from(tenant, marks[3].at)).incomplete);
  CAF_CHECK(!ask(events::replay_from(tenant, marks[4].at)).incomplete);
  CAF_CHECK(ask(events::replay_offset(tenant, 2)).incomplete);
  CAF_CHECK(!ask(events::replay_offset(tenant, 4)).incomplete);
  // A tenant to whom nothing has happened yet.
  const auto nobody = make_tenant();
  CAF_CHECK_EQUAL(ask(events::replay_offset(nobody, 0)).after, 0);
  CAF_CHECK(!ask(events::replay_from(nobody, now)).incomplete);
  CAF_CHECK(ask(events::replay_behind(nobody, uuid::random())).incomplete);
}

CAF_TEST(it is known of many logs where they end) {
  log_many(3);
  const auto other = make_tenant();
  const auto ends = ask(events::last_seqs({tenant, other}), control);
  CAF_REQUIRE_EQUAL(ends.size(), 1u);
  CAF_CHECK(ends[0] == std::pair(tenant, int64_t{3}));
}

CAF_TEST_FIXTURE_SCOPE_END()
