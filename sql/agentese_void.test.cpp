// needs: postgres
#define CAF_SUITE agentese_void

#include <boost/asio/executor_work_guard.hpp>
#include <cmath>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/agentese_capital.hpp"
#include "sql/agentese_dreams.hpp"
#include "sql/agentese_entropy.hpp"
#include "sql/agentese_metabolism.hpp"
#include "sql/blocking.hpp"
#include "sql/migrate.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;
namespace entropy = kgents::sql::agentese_entropy;
namespace capital = kgents::sql::agentese_capital;

namespace {

constexpr int callers = 64;
constexpr nano_amount tenth{100'000'000};

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
    const auto folder = look(server, "SHOW unix_socket_directories");
    base = "host='" + folder + "' port=" + look(server, "SHOW port") + " dbname=agentese_void";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE agentese_void"));
    const auto failed = migrate({.url = as("postgres"), .seed_dev = false});
    CAF_REQUIRE_EQUAL(failed.value_or(""), "");
  }
  [[nodiscard]] std::string as(const std::string& user) const { return base + " user=" + user; }
  std::string base;
};

const database& shared_database() {
  static const database instance;
  return instance;
}

struct fixture {
  fixture() {
    thread = std::thread{[this] { context.run(); }};
    tenant = provision();
  }
  ~fixture() {
    app.stop();
    guard.reset();
    thread.join();
  }

  static std::string admin(const std::string& statement) {
    return look(shared_database().as("postgres"), statement.c_str());
  }
  static tenant_id provision() {
    static int count = 0;
    return *tenant_id::parse(admin("SELECT kg.provision_tenant('T', 'void-" +
                                   std::to_string(++count) + "', 'pro', 'owner@example.org')"));
  }

  template <class T>
  std::future<answer<T>> begin(query<T> what) {
    auto promise = std::make_shared<std::promise<answer<T>>>();
    auto future = promise->get_future();
    run(app, std::move(what), [promise](answer<T> x) { promise->set_value(std::move(x)); });
    return future;
  }
  template <class T>
  static T value_of(std::future<answer<T>> from) {
    CAF_REQUIRE(from.wait_for(60s) == std::future_status::ready);
    auto result = from.get();
    if (const auto* why = std::get_if<failure>(&result))
      CAF_FAIL("refused: " << why->sqlstate << " " << why->message);
    return std::get<T>(std::move(result));
  }
  template <class T>
  T ask(query<T> what) {
    return value_of(begin(std::move(what)));
  }
  /// All at once, over all connections.
  template <class Make>
  auto all_at_once(Make make) {
    using T = decltype(value_of(begin(make(0))));
    std::vector<std::future<answer<T>>> running;
    for (int i = 0; i < callers; ++i)
      running.push_back(begin(make(i)));
    std::vector<T> out;
    for (auto& x : running)
      out.push_back(value_of(std::move(x)));
    return out;
  }
  template <class T>
  static int done(const std::vector<T>& all) {
    const auto n = std::count_if(all.begin(), all.end(), [](const T& x) { return x.done; });
    return static_cast<int>(n);
  }

  nano_amount remaining() { return ask(entropy::state(tenant, "")).remaining; }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared_database().as("kg_app"), .connections = 8}};
  std::thread thread;
  tenant_id tenant;
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(agentese_void_tests, fixture)

CAF_TEST(a fresh pool gives all it has and then nothing until a tithe) {
  CAF_CHECK(ask(entropy::draw(tenant, "", "sip", entropy::cap, 0.5)).done);
  const auto refused = ask(entropy::draw(tenant, "", "sip", tenth, 0.5));
  CAF_CHECK(!refused.done);
  CAF_CHECK_EQUAL(refused.remaining.nanos, 0);
  CAF_CHECK_EQUAL(ask(entropy::tithe(tenant, "", "tithe")).remaining.nanos, tenth.nanos);
  CAF_CHECK(ask(entropy::draw(tenant, "", "sip", tenth, 0.5)).done);
  CAF_CHECK_EQUAL(ask(entropy::state(tenant, "")).moves, 3u);
}

CAF_TEST(sixty four callers draw exactly what there is) {
  // 0.1 is no binary fraction: 64 of them are 6.4 all the same.
  all_at_once([&](int) { return entropy::draw(tenant, "", "sip", tenth, 0.25); });
  CAF_CHECK_EQUAL(remaining().units(), 93.6);
  // 93.6 are left, 3 are wanted each: 31 callers get them.
  const auto got =
      all_at_once([&](int) { return entropy::draw(tenant, "", "sip", {3'000'000'000}, {}); });
  CAF_CHECK_EQUAL(done(got), 31);
  CAF_CHECK_EQUAL(remaining().units(), 0.6);
}

CAF_TEST(sips pours and tithes at once end exactly right) {
  ask(entropy::draw(tenant, "", "sip", {50'000'000'000}, {}));
  std::vector<std::future<answer<entropy_poured>>> pours;
  for (int i = 0; i < callers; ++i)
    pours.push_back(begin(entropy::pour(tenant, "", tenth)));
  const auto tithes = all_at_once([&](int) { return entropy::tithe(tenant, "", "tithe"); });
  const auto sips = all_at_once([&](int) { return entropy::draw(tenant, "", "sip", {1}, {}); });
  for (auto& x : pours)
    CAF_CHECK_EQUAL(value_of(std::move(x)).recovered.nanos, tenth.nanos / 2);
  CAF_CHECK_EQUAL(remaining().nanos, 50'000'000'000 + 64LL * (50'000'000 + 100'000'000 - 1));
}

CAF_TEST(no pool grows above its cap) {
  CAF_CHECK_EQUAL(ask(entropy::pour(tenant, "", {10'000'000'000})).recovered.nanos, 0);
  ask(entropy::draw(tenant, "", "sip", {10'000'000'000}, {}));
  CAF_CHECK_EQUAL(ask(entropy::pour(tenant, "", {10'000'000'000})).recovered.units(), 5.0);
  const auto huge = *nano_amount::of(1e300);
  CAF_CHECK_EQUAL(ask(entropy::pour(tenant, "", huge)).remaining.nanos, entropy::cap.nanos);
  CAF_CHECK(!ask(entropy::draw(tenant, "", "sip", huge, {})).done);
}

CAF_TEST(a grant is poured back once whoever else tries) {
  const auto grant = uuid::random();
  ask(entropy::draw(tenant, "", "sip", {10'000'000'000}, 0.5, grant));
  CAF_CHECK_EQUAL(ask(entropy::unused(tenant, "", grant))->units(), 10.0);
  const auto got = all_at_once([&](int) { return entropy::pour_grant(tenant, "", grant); });
  const auto there = [](const auto& x) { return x.has_value(); };
  CAF_CHECK_EQUAL(std::count_if(got.begin(), got.end(), there), 1);
  CAF_CHECK_EQUAL(remaining().units(), 95.0);
  CAF_CHECK(!ask(entropy::unused(tenant, "", grant)));
  CAF_CHECK(!ask(entropy::pour_grant(tenant, "", uuid::random())));
}

CAF_TEST(a charge is taken once under its name and given back once) {
  const auto charged =
      all_at_once([&](int) { return entropy::charge(tenant, "", "invocation", tenth); });
  CAF_CHECK_EQUAL(done(charged), callers);
  CAF_CHECK_EQUAL(remaining().units(), 99.9);
  const auto back = all_at_once([&](int) { return entropy::refund(tenant, "", "invocation"); });
  CAF_CHECK_EQUAL(done(back), 1);
  CAF_CHECK_EQUAL(remaining().units(), 100.0);
  CAF_CHECK(!ask(entropy::refund(tenant, "", "nobody's")).done);
}

CAF_TEST(a charge that cannot be paid leaves no trace) {
  ask(entropy::draw(tenant, "", "sip", entropy::cap, {}));
  CAF_CHECK(!ask(entropy::charge(tenant, "", "poor", tenth)).done);
  CAF_CHECK(!ask(entropy::charged(tenant, "poor")));
  ask(entropy::tithe(tenant, "", "tithe"));
  CAF_CHECK(ask(entropy::charge(tenant, "", "poor", tenth)).done);
}

CAF_TEST(the newest thousand moves are kept and all are counted) {
  for (int i = 0; i < 17; ++i)
    all_at_once([&](int) { return entropy::draw(tenant, "", "sip", {1}, {}); });
  CAF_CHECK_EQUAL(ask(entropy::state(tenant, "")).moves, 1088u);
  const auto all = ask(entropy::history(tenant, "", 2000));
  CAF_REQUIRE_EQUAL(all.size(), size_t{entropy::kept_moves});
  CAF_CHECK_EQUAL(all.back().remaining.nanos, entropy::cap.nanos - 1088);
  CAF_CHECK_EQUAL(all.front().remaining.nanos, entropy::cap.nanos - 89);
}

CAF_TEST(pools ledgers and dreams are of one tenant only) {
  const auto other = provision();
  ask(entropy::draw(tenant, "", "sip", entropy::cap, {}));
  ask(capital::append(tenant, "ana", "POTLATCH", tenth, "{}"));
  CAF_CHECK_EQUAL(ask(entropy::state(other, "")).remaining.units(), 100.0);
  CAF_CHECK(ask(entropy::history(other, "", 10)).empty());
  CAF_CHECK_EQUAL(ask(capital::balance(other, "ana")).units(), 0.5);
  CAF_CHECK(ask(capital::history(other, "ana", 10)).empty());
}

CAF_TEST(an agent begins with a half and spends no more than it has) {
  CAF_CHECK_EQUAL(ask(capital::balance(tenant, "ana")).units(), 0.5);
  const auto paid = ask(capital::append(tenant, "ana", "POTLATCH", tenth, R"({"why": "joy"})"));
  CAF_CHECK(paid.done);
  CAF_CHECK_EQUAL(paid.balance.units(), 0.4);
  const auto token = ask(capital::bypass(tenant, "ana", "gate", {500'000'000}, 60, "hash"));
  CAF_CHECK(token.what == capital_token::outcome::insufficient);
  CAF_CHECK_EQUAL(token.balance.units(), 0.4);
  const auto ledger = ask(capital::history(tenant, "ana", 100));
  CAF_REQUIRE_EQUAL(ledger.size(), 1u);
  CAF_CHECK_EQUAL(ledger[0].type, "POTLATCH");
  CAF_CHECK_EQUAL(ledger[0].metadata, R"({"why": "joy"})");
}

CAF_TEST(sixty four callers spend exactly what an agent has) {
  const auto got = all_at_once(
      [&](int) { return capital::append(tenant, "ana", "DEBIT", nano_amount{30'000'000}, "{}"); });
  CAF_CHECK_EQUAL(done(got), 16);
  CAF_CHECK_EQUAL(ask(capital::balance(tenant, "ana")).units(), 0.02);
  CAF_CHECK_EQUAL(ask(capital::history(tenant, "ana", 100)).size(), 16u);
}

CAF_TEST(a balance stays between nothing and one) {
  ask(capital::append(tenant, "ana", "CREDIT", nano_amount{900'000'000}, "{}"));
  CAF_CHECK_EQUAL(ask(capital::balance(tenant, "ana")).units(), 1.0);
  CAF_CHECK_EQUAL(ask(capital::append(tenant, "bob", "DECAY", std::nullopt, "{}")).balance.units(),
                  0.495);
}

CAF_TEST(a token passes its check once) {
  CAF_CHECK(ask(capital::bypass(tenant, "ana", "gate", tenth, 60, "h1")).what ==
            capital_token::outcome::issued);
  CAF_CHECK(ask(capital::look_at_token(tenant, "h1", "door")) == token_state::other_check);
  CAF_CHECK(!ask(capital::redeem(tenant, "h1", "door")));
  CAF_CHECK(ask(capital::look_at_token(tenant, "h1", "gate")) == token_state::valid);
  const auto got = all_at_once([&](int) { return capital::redeem(tenant, "h1", "gate"); });
  const auto there = [](const auto& x) { return x.has_value(); };
  CAF_CHECK_EQUAL(std::count_if(got.begin(), got.end(), there), 1);
  CAF_CHECK(ask(capital::look_at_token(tenant, "h1", "gate")) == token_state::used);
  CAF_CHECK(ask(capital::look_at_token(tenant, "h2", "gate")) == token_state::unknown);
}

CAF_TEST(a token that has expired passes nothing) {
  ask(capital::bypass(tenant, "ana", "gate", tenth, 60, "h1"));
  admin("UPDATE kg.agentese_bypasses SET expires_at = now() WHERE tenant_id = '" + tenant.text() +
        "' RETURNING 1");
  CAF_CHECK(ask(capital::look_at_token(tenant, "h1", "gate")) == token_state::expired);
  CAF_CHECK(!ask(capital::redeem(tenant, "h1", "gate")));
}

CAF_TEST(usage is read since it was settled and a fever is paid from the pool) {
  const auto use = [&](int tokens, const char* ago) {
    admin(
        "INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, tokens_out,"
        " created_at) VALUES ('" +
        tenant.text() + "', 'llm_call', 'kgent', " + std::to_string(tokens) +
        ", 1, now() - interval '" + ago + "') RETURNING 1");
  };
  use(100, "2 hours");
  use(300, "10 seconds");
  use(200, "5 seconds");
  auto now = ask(agentese_metabolism::view(tenant, 1800s));
  CAF_CHECK_EQUAL(now.tokens_in, 500u);
  CAF_CHECK_EQUAL(now.tokens_out, 2u);
  CAF_REQUIRE_EQUAL(now.since.size(), 2u);
  CAF_CHECK_EQUAL(now.since[0].tokens_in, 300u);
  CAF_CHECK_EQUAL(now.state.settled_to, static_cast<double>(now.since[0].second));

  now.state = {
      .pressure = 0.75, .in_fever = true, .intensity = 1.5, .fevers = 3, .settled_to = now.now};
  const auto paid = ask(agentese_metabolism::settle(tenant, now.state, {{750'000'000}, tenth}));
  CAF_CHECK_EQUAL(paid.drawn.units(), 0.85);
  CAF_CHECK_EQUAL(paid.remaining->units(), 99.15);
  const auto later = ask(agentese_metabolism::view(tenant, 1800s));
  CAF_CHECK(later.since.empty());
  CAF_CHECK_EQUAL(later.tokens_in, 500u);
  CAF_CHECK_EQUAL(later.state.pressure, 0.75);
  CAF_CHECK(later.state.in_fever);
  CAF_CHECK_EQUAL(later.state.fevers, 3u);
  CAF_CHECK(std::abs(later.state.settled_to - now.now) < 1e-5);
  CAF_CHECK(!ask(agentese_metabolism::settle(tenant, now.state, {})).remaining);
}

CAF_TEST(a dream is made of what users said since the last one) {
  const auto said = [&](int n) {
    admin("WITH s AS (INSERT INTO kg.sessions (tenant_id) VALUES ('" + tenant.text() +
          "') RETURNING id, tenant_id) INSERT INTO kg.messages (session_id, tenant_id, role,"
          " content) SELECT s.id, s.tenant_id, r, r || n FROM s, generate_series(1, " +
          std::to_string(n) + ") n, unnest('{user,assistant}'::text[]) r RETURNING 1");
  };
  said(3);
  said(4);
  auto view = ask(agentese_dreams::view(tenant, 200, 500));
  CAF_REQUIRE_EQUAL(view.interactions.size(), 7u);
  CAF_CHECK_EQUAL(view.interactions.front().text, "user1");
  CAF_CHECK_EQUAL(view.interactions.back().text, "user4");
  CAF_CHECK_EQUAL(view.interactions.front().mode, "reflect");
  CAF_CHECK(!view.state.report);
  CAF_CHECK_EQUAL(ask(agentese_dreams::view(tenant, 5, 500)).interactions.size(), 5u);

  dream_changes changes;
  changes.seeds = {{"Says \"user\", often\\", 0.4, R"({"joy": 0.5})"}, {"b", 0.5, "{}"}};
  changes.last_message = view.interactions[4].seq;
  changes.confidence = R"({"joy": 0.01})";
  changes.report = R"({"insights": ["x"]})";
  ask(agentese_dreams::apply(tenant, changes));
  view = ask(agentese_dreams::view(tenant, 200, 500));
  CAF_CHECK_EQUAL(view.interactions.size(), 2u);
  CAF_CHECK_EQUAL(view.state.cycles, 1u);
  CAF_CHECK_EQUAL(view.state.report.value_or(""), R"({"insights": ["x"]})");
  CAF_REQUIRE_EQUAL(view.garden.size(), 2u);
  CAF_CHECK_EQUAL(view.garden[1].text, "Says \"user\", often\\");
  CAF_CHECK_EQUAL(view.garden[1].lifecycle, "seed");

  changes.seeds.clear();
  changes.seen_again = {{view.garden[1].id, 5, "tree", 0.9}};
  changes.composted = {view.garden[0].id};
  ask(agentese_dreams::apply(tenant, changes));
  view = ask(agentese_dreams::view(tenant, 200, 500));
  CAF_REQUIRE_EQUAL(view.garden.size(), 1u);
  CAF_CHECK_EQUAL(view.garden[0].lifecycle, "tree");
  CAF_CHECK_EQUAL(view.garden[0].occurrences, 5u);
  CAF_CHECK_EQUAL(view.state.cycles, 2u);
}

CAF_TEST_FIXTURE_SCOPE_END()
