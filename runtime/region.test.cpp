#define CAF_SUITE region

#include "runtime/region.hpp"

#include <caf/event_based_actor.hpp>
#include <map>

#include <caf/test/dsl.hpp>

using namespace kgents;
using runtime::admission_refusal;
using runtime::region;
using kind = runtime::cluster::route::kind;

namespace {

caf::behavior entity(caf::event_based_actor*, int) {
  return {[](int x) { return x; }};
}

entity_id some_session() {
  return session_entity(tenant_id{uuid::random()}, session_id{uuid::random()});
}

struct fixture : test_coordinator_fixture<> {
  int made = 0;
  std::map<entity_kind, int> live;
  std::vector<entity_id> crashed;
  std::vector<entity_id> dropped;
  std::vector<lease_epoch> leases;
  runtime::cluster::routes where;
  region entities{{2, 5},
                  {[this](entity_kind kind, int change) { live[kind] += change; },
                   [this](const entity_id& id, const caf::error&) { crashed.push_back(id); },
                   [this](const entity_id& id) { dropped.push_back(id); }},
                  where};
  const entity_id id = some_session();

  fixture() {
    entities.serve(entity_kind::session, [this](const entity_id&, lease_epoch lease) -> caf::actor {
      ++made;
      leases.push_back(lease);
      return sys.spawn(entity, made);
    });
  }

  ~fixture() {
    entities.stop();
    consume_messages();
  }

  region::permit admit(const entity_id& x) {
    auto out = entities.admit(x);
    CAF_REQUIRE(std::holds_alternative<region::permit>(out));
    return std::get<region::permit>(std::move(out));
  }

  std::optional<admission_refusal> refusal(const entity_id& x) {
    auto out = entities.admit(x);
    const auto* no = std::get_if<admission_refusal>(&out);
    return no == nullptr ? std::nullopt : std::optional{*no};
  }

  void route(const entity_id& x, runtime::cluster::route::kind kind, lease_epoch epoch = 0) {
    where.set(shard_of(x), {kind, node_id{2}, epoch});
  }

  /// Another session of another shard.
  entity_id elsewhere() const {
    for (;;)
      if (const auto x = some_session(); shard_of(x) != shard_of(id))
        return x;
  }

  void end(const caf::actor& x, caf::exit_reason why) {
    caf::anon_send_exit(x, why);
    consume_messages();
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(region_tests, fixture)

CAF_TEST(the first message activates an entity and the next finds it) {
  const auto first = admit(id);
  const auto second = admit(id);
  CAF_CHECK_EQUAL(made, 1);
  CAF_CHECK(first.actor() == second.actor());
  CAF_CHECK_EQUAL(entities.live(), 1u);
  CAF_CHECK_EQUAL(live[entity_kind::session], 1);
  const auto other = admit(some_session());
  CAF_CHECK_EQUAL(made, 2);
  CAF_CHECK(other.actor() != first.actor());
}

CAF_TEST(the same key of another tenant is another entity) {
  const auto mine = admit(id);
  const auto theirs = admit({id.kind, tenant_id{uuid::random()}, id.key});
  CAF_CHECK(mine.actor() != theirs.actor());
}

CAF_TEST(an entity retires only while nothing is on its way to it) {
  auto permit = admit(id);
  const auto actor = permit.actor();
  CAF_CHECK(!entities.retire(id, actor.address()));
  permit = {};
  CAF_CHECK(entities.retire(id, actor.address()));
  const auto fresh = admit(id);
  CAF_CHECK_EQUAL(made, 2);
  CAF_CHECK(fresh.actor() != actor);
  end(actor, caf::exit_reason::user_shutdown);
  CAF_CHECK_EQUAL(entities.live(), 1u);
}

CAF_TEST(an entity that was replaced may go and takes nothing with it) {
  const auto old = admit(id).actor();
  CAF_REQUIRE(entities.retire(id, old.address()));
  const auto fresh = admit(id);
  CAF_CHECK(entities.retire(id, old.address()));
  end(old, caf::exit_reason::user_shutdown);
  CAF_CHECK(admit(id).actor() == fresh.actor());
}

CAF_TEST(a crashed entity is reported and forgotten and its next message activates a fresh one) {
  auto permit = admit(id);
  const auto old = permit.actor();
  end(old, caf::exit_reason::unhandled_exception);
  CAF_REQUIRE_EQUAL(crashed.size(), 1u);
  CAF_CHECK(crashed[0] == id);
  CAF_CHECK_EQUAL(live[entity_kind::session], 0);
  CAF_CHECK(admit(id).actor() != old);
  CAF_CHECK_EQUAL(made, 2);
}

CAF_TEST(an entity that ends as asked has not crashed) {
  end(admit(id).actor(), caf::exit_reason::user_shutdown);
  CAF_CHECK(crashed.empty());
  CAF_CHECK_EQUAL(entities.live(), 0u);
}

CAF_TEST(an entity has a bound and a permit that dies makes room) {
  auto first = admit(id);
  const auto second = admit(id);
  CAF_CHECK(refusal(id) == admission_refusal::entity);
  CAF_CHECK_EQUAL(entities.in_flight(), 2u);
  CAF_CHECK(!refusal(some_session()));
  first = {};
  CAF_CHECK(!refusal(id));
}

CAF_TEST(the node has a bound whatever the entity) {
  std::vector<region::permit> all;
  for (int i = 0; i < 5; ++i)
    all.push_back(admit(some_session()));
  CAF_CHECK(refusal(some_session()) == admission_refusal::node);
  CAF_CHECK_EQUAL(made, 5);
  CAF_CHECK_EQUAL(entities.in_flight(), 5u);
  all.pop_back();
  CAF_CHECK_EQUAL(entities.in_flight(), 4u);
  CAF_CHECK(!refusal(some_session()));
}

CAF_TEST(a permit that was moved counts once) {
  auto first = admit(id);
  auto second = std::move(first);
  CAF_CHECK_EQUAL(entities.in_flight(), 1u);
  second = {};
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST(a region that stops ends its entities and admits nothing) {
  const auto permit = admit(id);
  const auto other = admit(some_session());
  entities.stop();
  consume_messages();
  CAF_CHECK_EQUAL(entities.live(), 0u);
  CAF_CHECK(crashed.empty());
  CAF_CHECK(refusal(id) == admission_refusal::stopping);
}

CAF_TEST(an entity of another node is not activated here) {
  route(id, kind::there, 3);
  CAF_CHECK(refusal(id) == admission_refusal::elsewhere);
  CAF_CHECK(entities.route_of(id).owner == node_id{2});
  route(id, kind::wait, 3);
  CAF_CHECK(refusal(id) == admission_refusal::in_transit);
  CAF_CHECK_EQUAL(made, 0);
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST(an entity writes under the lease of its shard) {
  route(id, kind::here, 7);
  admit(id);
  CAF_CHECK_EQUAL(leases, std::vector<lease_epoch>{7});
}

CAF_TEST(what is not placed lives on every node whatever the routes say) {
  int tenants = 0;
  entities.serve(entity_kind::tenant, [&](const entity_id&, lease_epoch lease) -> caf::actor {
    ++tenants;
    CAF_CHECK_EQUAL(lease, 0u);
    return sys.spawn(entity, 1);
  });
  const auto tenant = tenant_entity(id.tenant);
  route(tenant, kind::there, 3);
  admit(tenant);
  CAF_CHECK_EQUAL(tenants, 1);
  CAF_CHECK(entities.of({shard_of(tenant)}).empty());
}

CAF_TEST(those of a shard that leaves are named and nobody else) {
  const auto other = elsewhere();
  const auto mine = admit(id).actor();
  admit(other);
  route(id, kind::wait);
  const auto leaving = entities.of({shard_of(id)});
  CAF_REQUIRE_EQUAL(leaving.size(), 1u);
  CAF_CHECK(leaving[0].first == id);
  CAF_CHECK(leaving[0].second == mine);
  CAF_CHECK(refusal(id) == admission_refusal::in_transit);
  admit(other);
  CAF_CHECK_EQUAL(made, 2);
}

CAF_TEST(the entities of a lost shard are killed and forgotten) {
  const auto other = elsewhere();
  const auto old = admit(id).actor();
  const auto kept = admit(other).actor();
  route(id, kind::there);
  entities.drop({shard_of(id)});
  consume_messages();
  CAF_CHECK(dropped == std::vector<entity_id>{id});
  CAF_CHECK(crashed.empty());
  CAF_CHECK_EQUAL(entities.live(), 1u);
  CAF_CHECK(admit(other).actor() == kept);
  route(id, kind::here, 9);
  CAF_CHECK(admit(id).actor() != old);
  CAF_CHECK_EQUAL(leases.back(), 9u);
}

CAF_TEST(the permit of a dropped entity still counts until it dies) {
  auto permit = admit(id);
  entities.drop({shard_of(id)});
  consume_messages();
  CAF_CHECK_EQUAL(entities.in_flight(), 1u);
  permit = {};
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
