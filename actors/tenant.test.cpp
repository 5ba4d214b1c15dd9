#define CAF_SUITE tenant

#include "actors/tenant.hpp"

#include "actors/ask.test.hpp"
#include "actors/scripted_database.test.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;

using kind = sql::failure::kind;

namespace {

auto wall() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

/// One more, which makes so many of them today.
void take_operation(runtime::key_gate& x, uint64_t today) {
  CAF_CHECK(x.operation(wall(), [] { return [](runtime::verdict) {}; }).ask);
  CAF_CHECK(!x.granted(x.question(), 1, today, wall()));
}

struct fixture : test_coordinator_fixture<> {
  const entity_id id = tenant_entity(tenant_id{uuid::random()});
  std::shared_ptr<script> db = std::make_shared<script>();
  runtime::tenant_gates gates;
  bool exists = true;
  bool may_retire = true;
  int retired = 0;
  std::vector<caf::actor> all;
  caf::actor database = sys.spawn<scripted_database>(db);
  caf::actor one;

  fixture() {
    db->on("tenant", "FROM kg.tenants", [this](const auto&) {
      return exists ? one_result(7, {{id.key.text(), "T", "pro", "active", "1000", "300", "pool"}})
                    : one_result(7, {});
    });
    // Operations today, tokens today, tokens of the month.
    db->on("usage", "kg.usage_counters", [](const auto&) {
      return one_result(3, {{"2", "20", "200"}});
    });
    auto services = std::make_shared<tenant_services>();
    services->database = database;
    services->gates = &gates;
    services->retire = [this](const entity_id& which, const caf::actor_addr&) {
      CAF_CHECK(which == id);
      retired += may_retire ? 1 : 0;
      return may_retire;
    };
    one = sys.spawn<tenant>(id, services);
    consume_messages();
  }

  ~fixture() override {
    all.push_back(one);
    all.push_back(database);
    for (auto& x : all)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    consume_messages();
    db->clear();
  }

  sql::resolved_key key() {
    sql::resolved_key out;
    out.key = api_key_id{uuid::random()};
    out.tenant = id.tenant;
    out.tier = "pro";
    out.requests_per_minute = 60;
    out.burst = 5;
    out.operations_per_day = 100;
    out.tokens_limit_month = 1000;  // the tenant's own
    return out;
  }

  reply<key_lease> ask(const sql::resolved_key& key) {
    auto out = std::make_shared<std::optional<answer<key_lease>>>();
    const open_key message{std::make_shared<const sql::resolved_key>(key)};
    all.push_back(sys.spawn(asker<key_lease, open_key>, one, message, out));
    consume_messages();
    return out;
  }

  key_lease open(const sql::resolved_key& key) {
    const auto out = ask(key);
    CAF_REQUIRE(out->has_value());
    CAF_REQUIRE_EQUAL((*out)->wrong.detail, "");
    return (*out)->value;
  }

  bool alive() {
    return !caf::actor_cast<caf::monitorable_actor*>(one)->getf(
        caf::abstract_actor::is_terminated_flag);
  }

  void idle() {
    advance_time(10min);
    consume_messages();
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(tenant_tests, fixture)

CAF_TEST(the gate of a key starts from what PostgreSQL has counted) {
  const auto x = key();
  const auto lease = open(x);
  const auto state = lease.key->look(wall());
  CAF_CHECK_EQUAL(state.used.operations_today, 2u);
  CAF_CHECK_EQUAL(state.used.tokens_today, 20u);
  CAF_CHECK_EQUAL(state.tokens_month, 300u);
  CAF_CHECK_EQUAL(state.limits.operations_per_day, 100u);
  CAF_CHECK_EQUAL(lease.tenant->turns->limit(), 64u);
  CAF_CHECK(gates.find(x.key) == lease.key);
  CAF_CHECK(gates.of(id.tenant) == lease.tenant);
}

CAF_TEST(a key that comes again goes on counting where it was with its new limits) {
  auto x = key();
  const auto first = open(x);
  take_operation(*first.key, 3);
  x.operations_per_day = 7;
  x.tier = "enterprise";
  const auto second = open(x);
  CAF_CHECK(second.key == first.key);
  CAF_CHECK_EQUAL(db->heard, std::vector<std::string>({"tenant", "usage"}));
  const auto state = second.key->look(wall());
  CAF_CHECK_EQUAL(state.used.operations_today, 3u);
  CAF_CHECK_EQUAL(state.limits.operations_per_day, 7u);
  CAF_CHECK_EQUAL(second.tenant->turns->limit(), 1024u);
}

CAF_TEST(keys of a tenant share its month unless they have a limit of their own) {
  const auto first = open(key());
  const auto second = open(key());
  auto x = key();
  x.tokens_limit_month = 500;
  const auto own = open(x);
  first.key->add_tokens(10, wall());
  CAF_CHECK_EQUAL(second.key->look(wall()).tokens_month, 310u);
  CAF_CHECK_EQUAL(own.key->look(wall()).tokens_month, 200u);
}

CAF_TEST(connections that bring a key at once share its gate) {
  const auto x = key();
  db->hold("usage");
  const auto first = ask(x);
  const auto second = ask(x);
  CAF_CHECK_EQUAL(db->waiting("usage"), 1u);  // and count it once
  caf::anon_send(database, release_held{"usage"});
  consume_messages();
  CAF_REQUIRE(first->has_value() && second->has_value());
  CAF_CHECK((*first)->value.key != nullptr);
  CAF_CHECK((*first)->value.key == (*second)->value.key);
}

CAF_TEST(the key of a tenant that is gone opens nothing) {
  exists = false;
  const auto out = ask(key());
  CAF_REQUIRE(out->has_value());
  CAF_CHECK_EQUAL((*out)->wrong.status, 401);
}

CAF_TEST(a key cannot be opened while the database is away and can be afterwards) {
  const auto x = key();
  for (const auto* what : {"tenant", "usage"}) {
    db->fail(what, kind::unavailable);
    const auto out = ask(x);
    CAF_REQUIRE(out->has_value());
    CAF_CHECK_EQUAL((*out)->wrong.status, 503);
  }
  open(x);
}

CAF_TEST(a tenant stays while somebody holds one of its keys) {
  auto lease = std::optional{open(key())};
  idle();
  CAF_CHECK(alive());
  CAF_CHECK_EQUAL(retired, 0);
  lease.reset();
  all.clear();
  may_retire = false;
  idle();
  CAF_CHECK(alive());
  may_retire = true;
  idle();
  CAF_CHECK(!alive());
}

CAF_TEST(a gate that nobody holds is counted from PostgreSQL again) {
  const auto x = key();
  take_operation(*open(x).key, 3);
  may_retire = false;
  idle();
  CAF_CHECK_EQUAL(open(x).key->look(wall()).used.operations_today, 2u);
}

CAF_TEST(a tenant keeps the count of a full bucket though nobody holds the key) {
  auto x = key();
  x.requests_per_minute = 1;
  x.burst = 1000;
  const auto spend = [&] {
    const auto lease = open(x);
    for (int i = 0; i < 900; ++i)
      static_cast<void>(
          lease.key->traffic().take({std::chrono::steady_clock::now(), wall()}));
  };
  spend();
  all.clear();
  idle();
  CAF_CHECK(alive());
  CAF_CHECK(open(x).key->look(wall()).left_this_minute < 200);
}

CAF_TEST_FIXTURE_SCOPE_END()
