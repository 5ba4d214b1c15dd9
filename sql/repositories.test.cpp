// needs: postgres
#define CAF_SUITE repositories

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <future>
#include <thread>

#include "sql/blocking.hpp"
#include "sql/keys.hpp"
#include "sql/messages.hpp"
#include "sql/migrate.hpp"
#include "sql/sessions.hpp"
#include "sql/tenants.hpp"
#include "sql/turns.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::sql;

namespace {

/// One line of text from the database, as superuser.
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
    base = "host='" + folder + "' port=" + look(server, "SHOW port") + " dbname=repositories";
    CAF_REQUIRE(!blocking_connection{server}.run("CREATE DATABASE repositories"));
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

struct fixture {
  fixture() {
    thread = std::thread{[this] { context.run(); }};
    static int count = 0;
    const auto made = "SELECT kg.provision_tenant('T', 'tenant-" + std::to_string(++count) +
                      "', 'pro', 'owner@example.org')";
    tenant = *tenant_id::parse(admin(made.c_str()));
  }

  ~fixture() {
    app.stop();
    control.stop();
    guard.reset();
    thread.join();
  }

  static std::string admin(const char* statement) {
    return look(shared_database().as("postgres"), statement);
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

  session_id session(std::optional<std::string> title = std::nullopt) {
    const new_session made{.id = session_id{uuid::random()},
                           .title = std::move(title),
                           .usage = usage_id{uuid::time_ordered()}};
    return ask(sessions::create(tenant, made)).id;
  }

  static turn_start start(session_id where, std::string content = "hello") {
    return {.turn = turn_id{uuid::random()},
            .session = where,
            .message = message_id{uuid::random()},
            .answer = message_id{uuid::random()},
            .content = std::move(content),
            .budget = "dialogue",
            .usage = usage_id{uuid::time_ordered()}};
  }

  static turn_end end(turn_id turn, lease_epoch epoch, chunked_text answer,
                      turn_status status = turn_status::completed) {
    return {.turn = turn,
            .epoch = epoch,
            .status = status,
            .answer = std::move(answer),
            .tokens_in = 3,
            .tokens_out = 4,
            .finish_reason = "stop",
            .latency = 12ms,
            .usage = usage_id{uuid::time_ordered()}};
  }

  std::vector<turn_id> append(turn_id turn, lease_epoch epoch,
                              const std::vector<std::string>& chunks, chunk_index first = 0) {
    chunk_batch batch;
    for (const auto& chunk : chunks)
      batch.add(turn, epoch, first++, chunk, fence{});
    return ask(batch.take(), &control);
  }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      context.get_executor()};
  pool app{context, {.url = shared_database().as("kg_app"), .connections = 2}};
  pool control{context, {.url = shared_database().as("kg_control"), .connections = 1}};
  std::thread thread;
  tenant_id tenant;
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(repositories_tests, fixture)

CAF_TEST(a key is resolved by its hash with the limits that apply to it) {
  // SHA-256 of kg_dev_alice
  const auto alice =
      ask(keys::resolve("78d873d604704d61cb530a6c2f86877c5a9d84579ae87757081d13582489babe"));
  CAF_REQUIRE(alice.has_value());
  CAF_CHECK_EQUAL(alice->tenant.text(), "00000000-0000-0000-0000-000000000001");
  CAF_CHECK_EQUAL(alice->user_ref, "user_alice");
  CAF_CHECK_EQUAL(alice->prefix, "kg_alice");
  CAF_CHECK_EQUAL(alice->tier, "free");
  CAF_CHECK_EQUAL(alice->status, "active");
  CAF_CHECK(alice->scopes.read && !alice->scopes.write && !alice->scopes.admin);
  CAF_CHECK_EQUAL(alice->operations_per_day, 100u);
  CAF_CHECK_EQUAL(alice->tokens_limit_month, 10'000u);
  CAF_CHECK(!alice->user && !alice->tokens_limit_request && !alice->expires_at);
  CAF_CHECK(!ask(keys::resolve("0000")));
}

CAF_TEST(an expiring key says when) {
  admin(
      "UPDATE kg.api_keys SET expires_at = '2100-01-01 00:00:00.5+00', tokens_limit_request = 7 "
      "WHERE user_ref = 'user_carol' RETURNING 1");
  const auto carol =
      ask(keys::resolve("3ad9504a6094c5208c9d08a2f8344701c255ee4a92195418a2a55da52c6c140e"));
  CAF_REQUIRE(carol && carol->expires_at);
  CAF_CHECK(carol->expires_at->time_since_epoch() == 4102444800500ms);
  CAF_CHECK_EQUAL(carol->tokens_limit_request.value_or(0), 7u);
  CAF_CHECK(carol->scopes.admin && carol->scopes.billing);
}

CAF_TEST(use of a key is added up and its operations of today are counted) {
  const auto key = *api_key_id::parse("00000000-0000-0000-0000-000000000002");
  tenant = *tenant_id::parse("00000000-0000-0000-0000-000000000001");
  ask(keys::touch(tenant, key, 5));
  ask(keys::touch(tenant, key, 2));
  CAF_CHECK_EQUAL(admin("SELECT use_count FROM kg.api_keys WHERE user_ref = 'user_bob'"), "7");
  const auto before = ask(keys::usage_of(tenant, key)).operations_today;
  const auto taken = ask(keys::take_operations(tenant, key, 3, 0));
  CAF_CHECK(taken.granted == 3u && taken.today == before + 3);
  CAF_CHECK(ask(keys::usage_of(tenant, key)).operations_today == before + 3);
}

CAF_TEST(a session is created with its usage and read back) {
  const new_session made{.id = session_id{uuid::random()},
                         .title = "Größe \"x\" \\ 'y'",
                         .mode = "challenge",
                         .usage = usage_id{uuid::time_ordered()}};
  const auto created = ask(sessions::create(tenant, made));
  CAF_CHECK(created.id == made.id && created.tenant == tenant);
  CAF_CHECK(created.title == made.title);
  CAF_CHECK_EQUAL(created.status, "active");
  CAF_CHECK_EQUAL(created.mode, "challenge");
  CAF_CHECK_EQUAL(created.created_at.size(), 32u);
  CAF_CHECK_EQUAL(created.created_at.substr(26), "+00:00");
  const auto found = ask(sessions::get(tenant, made.id));
  CAF_REQUIRE(found.has_value());
  CAF_CHECK_EQUAL(found->created_at, created.created_at);
  const auto period = created.created_at.substr(0, 7);
  CAF_CHECK(ask(usage::summary(tenant, period)).events == 1u);
  const tenant_id stranger{uuid::random()};
  CAF_CHECK(!ask(sessions::get(stranger, made.id)));
}

CAF_TEST(sessions are listed newest first with the total before paging) {
  std::vector<session_id> made;
  for (int i = 0; i < 5; ++i)
    made.push_back(session());
  const auto page = ask(sessions::list(tenant, 2, 1));
  CAF_CHECK_EQUAL(page.total, 5u);
  CAF_REQUIRE_EQUAL(page.sessions.size(), 2u);
  CAF_CHECK(page.sessions[0].id == made[3]);
  CAF_CHECK(page.sessions[1].id == made[2]);
  const auto beyond = ask(sessions::list(tenant, 2, 10));
  CAF_CHECK_EQUAL(beyond.total, 5u);
  CAF_CHECK(beyond.sessions.empty());
}

CAF_TEST(a session changes only in what is given and is hidden once removed) {
  const auto id = session("old");
  auto changed = ask(sessions::update(tenant, id, {.status = "archived"}));
  CAF_REQUIRE(changed.has_value());
  CAF_CHECK_EQUAL(changed->title.value_or(""), "old");
  CAF_CHECK_EQUAL(changed->status, "archived");
  changed = ask(sessions::update(tenant, id, {.title = std::optional<std::string>{}}));
  CAF_CHECK(!changed->title);
  CAF_CHECK_EQUAL(changed->status, "archived");
  CAF_CHECK(ask(sessions::remove(tenant, id)));
  CAF_CHECK(!ask(sessions::remove(tenant, id)));
  CAF_CHECK(!ask(sessions::get(tenant, id)));
  CAF_CHECK(!ask(sessions::update(tenant, id, {})));
  CAF_CHECK(ask(sessions::list(tenant, 10, 0)).total == 0u);
  CAF_CHECK(!ask(messages::list(tenant, id, 10, 0)).session_exists);
}

CAF_TEST(a session names its last ended turn with the chunks that a replay shows) {
  const auto id = session();
  CAF_CHECK(!ask(sessions::get(tenant, id))->last_ended);
  const auto check = [&](const turn_start& what, lease_epoch epoch, size_t chunks) {
    const auto found = ask(sessions::get(tenant, id));
    CAF_REQUIRE(found && found->last_ended);
    CAF_CHECK(found->last_ended->turn == what.turn);
    CAF_CHECK_EQUAL(found->last_ended->epoch, epoch);
    CAF_CHECK_EQUAL(found->last_ended->chunks, chunks);
    CAF_CHECK_EQUAL(ask(turns::replay(tenant, id, 0, 100, 1 << 20)).back().answer.chunks(), chunks);
  };
  const auto completed = start(id);
  ask(turns::begin(tenant, completed));
  ask(turns::claim(tenant, completed.turn));
  CAF_CHECK(!ask(sessions::get(tenant, id))->last_ended);
  ask(turns::end(tenant, end(completed.turn, 2, {"Two things.", {4, 11}})));
  check(completed, 2, 2);
  // Nothing was said to the end, so its rows went.
  const auto silent = start(id);
  ask(turns::begin(tenant, silent));
  append(silent.turn, 1, {"thrown ", "away"});
  ask(turns::end(tenant, end(silent.turn, 1, {}, turn_status::canceled)));
  check(silent, 1, 0);
  // Of what is durable only that before the hole is shown.
  const auto failed = start(id);
  ask(turns::begin(tenant, failed));
  append(failed.turn, 1, {"half ", "an "});
  append(failed.turn, 1, {"answer"}, 3);
  ask(turns::end(tenant, end(failed.turn, 1, {"half an ", {5, 8}}, turn_status::failed)));
  check(failed, 1, 2);
  const auto running = start(id);
  ask(turns::begin(tenant, running));
  CAF_CHECK(ask(sessions::get(tenant, id))->last_ended->turn == failed.turn);
}

CAF_TEST(a turn goes from its message to its answer) {
  const auto id = session();
  const auto begun = start(id, "What now?");
  const auto started = ask(turns::begin(tenant, begun));
  CAF_CHECK(started.what == begun_turn::kind::started);
  CAF_CHECK(started.turn == begun.turn && started.answer == begun.answer);
  CAF_CHECK_EQUAL(started.mode, "reflect");
  CAF_CHECK_EQUAL(started.epoch, 1u);
  CAF_CHECK(append(begun.turn, 1, {"Two ", "things."}).empty());
  const auto running = ask(turns::get(tenant, id, begun.turn));
  CAF_REQUIRE(running.has_value());
  CAF_CHECK(running->status == turn_status::running && !running->ended_at);
  CAF_CHECK_EQUAL(running->answer.text, "Two things.");
  const auto done = ask(turns::end(tenant, end(begun.turn, 1, {"Two things.", {4, 11}})));
  CAF_CHECK(!done.fenced);
  CAF_CHECK_EQUAL(done.tokens_used, 7u);
  CAF_CHECK(ask(turns::end(tenant, end(begun.turn, 1, {"Two things.", {4, 11}}))).fenced);
  const auto ended = ask(turns::get(tenant, id, begun.turn));
  CAF_CHECK(ended->status == turn_status::completed && ended->ended_at);
  CAF_REQUIRE_EQUAL(ended->answer.chunks(), 2u);
  CAF_CHECK_EQUAL(ended->answer.chunk(1), "things.");
  CAF_CHECK_EQUAL(ended->tokens_used, 7u);
  const auto page = ask(messages::list(tenant, id, 10, 0));
  CAF_CHECK_EQUAL(page.total, 2u);
  CAF_REQUIRE_EQUAL(page.messages.size(), 2u);
  CAF_CHECK_EQUAL(page.messages[0].content, "What now?");
  CAF_CHECK(page.messages[1].id == begun.answer && page.messages[1].turn == begun.turn);
  CAF_CHECK_EQUAL(page.messages[1].tokens_used, 7u);
  CAF_CHECK_EQUAL(page.messages[1].created_at, done.created_at);
  CAF_CHECK(ask(tenants::get(tenant))->tokens_used_month == 7u);
}

CAF_TEST(an empty page still knows the session and its total) {
  const auto id = session();
  const auto none = ask(messages::list(tenant, id, 10, 0));
  CAF_CHECK(none.session_exists && none.messages.empty());
  CAF_CHECK_EQUAL(none.total, 0u);
  ask(turns::begin(tenant, start(id)));
  const auto beyond = ask(messages::list(tenant, id, 10, 5));
  CAF_CHECK(beyond.session_exists && beyond.messages.empty());
  CAF_CHECK_EQUAL(beyond.total, 1u);
  CAF_CHECK(!ask(messages::list(tenant, session_id{uuid::random()}, 10, 0)).session_exists);
}

CAF_TEST(begin says why it does not start) {
  using enum begun_turn::kind;
  const auto id = session();
  CAF_CHECK(ask(turns::begin(tenant, start(session_id{uuid::random()}))).what == missing);
  auto keyed = start(id);
  keyed.idempotency_key = "k";
  keyed.request_hash = "h";
  CAF_CHECK(ask(turns::begin(tenant, keyed)).what == started);
  auto again = start(id);
  again.idempotency_key = "k";
  again.request_hash = "h";
  const auto joined_turn = ask(turns::begin(tenant, again));
  CAF_CHECK(joined_turn.what == joined && joined_turn.turn == keyed.turn);
  again.request_hash = "other";
  CAF_CHECK(ask(turns::begin(tenant, again)).what == mismatch);
  auto impatient = start(id);
  impatient.busy = if_busy::reject;
  CAF_CHECK(ask(turns::begin(tenant, impatient)).what == busy);
  auto second = start(id);
  second.most_waiting = 1;
  const auto waiting = ask(turns::begin(tenant, second));
  CAF_CHECK(waiting.what == queued && waiting.status == turn_status::queued);
  auto third = start(id);
  third.most_waiting = 1;
  CAF_CHECK(ask(turns::begin(tenant, third)).what == full);
  ask(sessions::update(tenant, id, {.status = "closed"}));
  CAF_CHECK(ask(turns::begin(tenant, start(id))).what == closed);
}

CAF_TEST(unfinished turns come back in order with all that is durable) {
  const auto id = session();
  const auto first = start(id, "one");
  auto second = start(id, "two");
  second.mode = "advise";
  second.cancel_on_disconnect = true;
  ask(turns::begin(tenant, first));
  ask(turns::begin(tenant, second));
  append(first.turn, 1, {"a ", "\"b\\\" ", "", "{c},NULL ", "ä\n\t'"});
  append(first.turn, 1, {"beyond a hole"}, 6);
  const auto left = ask(turns::unfinished_of(tenant, id));
  CAF_REQUIRE_EQUAL(left.size(), 2u);
  CAF_CHECK(left[0].id == first.turn && left[0].status == turn_status::running);
  CAF_CHECK_EQUAL(left[0].content, "one");
  CAF_REQUIRE_EQUAL(left[0].answer.chunks(), 5u);
  CAF_CHECK_EQUAL(left[0].answer.chunk(1), "\"b\\\" ");
  CAF_CHECK_EQUAL(left[0].answer.chunk(2), "");
  CAF_CHECK_EQUAL(left[0].answer.chunk(3), "{c},NULL ");
  CAF_CHECK_EQUAL(left[0].answer.chunk(4), "ä\n\t'");
  CAF_CHECK(left[1].id == second.turn && left[1].status == turn_status::queued);
  CAF_CHECK_EQUAL(left[1].mode, "advise");
  CAF_CHECK(left[1].cancel_on_disconnect && left[1].answer.chunks() == 0);
  bool listed = false;
  for (const auto& x : ask(turns::all_unfinished(), &control))
    listed |= x.session == id && x.tenant == tenant;
  CAF_CHECK(listed);
}

CAF_TEST(chunks under an old lease are refused) {
  admin("UPDATE kg.shard_leases SET epoch = 4 WHERE shard = 300");
  const auto begun = start(session());
  ask(turns::begin(tenant, begun));
  chunk_batch batch;
  batch.add(begun.turn, 1, 0, "a", {shard_id{300}, 4});
  CAF_CHECK(ask(batch.take(), &control).empty());
  batch.add(begun.turn, 1, 1, "b", {shard_id{300}, 3});
  CAF_CHECK(ask(batch.take(), &control) == std::vector{begun.turn});
}

CAF_TEST(who claims a turn is its only writer) {
  const auto id = session();
  const auto turn = start(id);
  ask(turns::begin(tenant, turn));
  append(turn.turn, 1, {"a"});
  CAF_CHECK(ask(turns::claim(tenant, turn.turn)).value_or(0) == 2u);
  CAF_CHECK(append(turn.turn, 1, {"x"}, 1) == std::vector{turn.turn});
  CAF_CHECK(append(turn.turn, 2, {"b"}, 1).empty());
  CAF_CHECK(append(turn.turn, 2, {"repeated"}, 1).empty());
  CAF_CHECK(ask(turns::end(tenant, end(turn.turn, 1, {"x", {1}}))).fenced);
  CAF_CHECK(ask(turns::get(tenant, id, turn.turn))->answer.text == "ab");
  ask(turns::end(tenant, end(turn.turn, 2, {"ab", {1, 2}})));
  CAF_CHECK(!ask(turns::claim(tenant, turn.turn)));
}

CAF_TEST(replay gives ended and running turns after a place in order) {
  const auto id = session();
  std::vector<turn_start> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(start(id, std::to_string(i)));
    ask(turns::begin(tenant, all.back()));
  }
  ask(turns::end(tenant, end(all[0].turn, 1, {"zero", {4}})));
  ask(turns::claim(tenant, all[1].turn));
  append(all[1].turn, 2, {"par", "tial"});
  auto failed = end(all[1].turn, 2, {}, turn_status::failed);
  failed.error_type = "provider_timeout";
  failed.error = "too slow";
  ask(turns::end(tenant, failed));
  ask(turns::claim(tenant, all[2].turn));
  append(all[2].turn, 2, {"run"});
  const auto whole = ask(turns::replay(tenant, id, 0, 10, 1 << 20));
  CAF_REQUIRE_EQUAL(whole.size(), 3u);
  CAF_CHECK_EQUAL(whole[0].answer.text, "zero");
  CAF_CHECK(whole[1].status == turn_status::failed);
  CAF_CHECK_EQUAL(whole[1].error_type.value_or(""), "provider_timeout");
  CAF_CHECK(whole[1].answer.ends == (std::vector<uint32_t>{3, 7}));
  CAF_CHECK(whole[2].status == turn_status::running);
  const auto place = ask(turns::locate(tenant, id, all[0].turn));
  CAF_REQUIRE(place.has_value());
  CAF_CHECK(place->status == turn_status::completed && place->seq == whole[0].seq);
  const auto rest = ask(turns::replay(tenant, id, place->seq, 1, 1 << 20));
  CAF_REQUIRE_EQUAL(rest.size(), 1u);
  CAF_CHECK(rest[0].id == all[1].turn);
  CAF_CHECK_EQUAL(ask(turns::replay(tenant, id, 0, 10, 4)).size(), 1u);  // "zero" reaches it
  CAF_CHECK_EQUAL(ask(turns::replay(tenant, id, 0, 10, 5)).size(), 3u);
  CAF_CHECK(!ask(turns::locate(tenant, session(), all[0].turn)));
  CAF_CHECK(!ask(turns::get(tenant_id{uuid::random()}, id, all[0].turn)));
}

CAF_TEST(history is in the order of turns although the waiting message was written earlier) {
  const auto id = session();
  const auto first = start(id, "q1");
  const auto second = start(id, "q2");
  ask(turns::begin(tenant, first));
  ask(turns::begin(tenant, second));
  ask(turns::end(tenant, end(first.turn, 1, {"a1", {2}})));
  const auto text = [](const std::vector<history_line>& lines) {
    std::string all;
    for (const auto& x : lines)
      all += x.role.substr(0, 1) + ":" + x.content + " ";
    return all;
  };
  CAF_CHECK_EQUAL(text(ask(messages::history(tenant, id, std::nullopt, 10))), "u:q1 a:a1 u:q2 ");
  CAF_CHECK_EQUAL(text(ask(messages::history(tenant, id, second.turn, 10))), "u:q1 a:a1 ");
  CAF_CHECK_EQUAL(text(ask(messages::history(tenant, id, second.turn, 1))), "a:a1 ");
}

CAF_TEST(usage with the same id counts once) {
  const usage_event event{.id = usage_id{uuid::time_ordered()},
                          .type = "agentese_invoke",
                          .source = "api",
                          .tokens_in = 5,
                          .agentese_path = "world.house.manifest",
                          .status_code = uint16_t{200}};
  CAF_CHECK(ask(usage::record(tenant, event)));
  CAF_CHECK(!ask(usage::record(tenant, event)));
  const auto period = fixture::admin("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')");
  const auto sum = ask(usage::summary(tenant, period));
  CAF_CHECK_EQUAL(sum.events, 1u);
  CAF_CHECK_EQUAL(sum.tokens_in, 5u);
  CAF_CHECK(ask(usage::summary(tenant, "2001-01")).events == 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
