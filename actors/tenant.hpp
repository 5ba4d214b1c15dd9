#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "protocol/entity.hpp"
#include "protocol/messages.hpp"
#include "runtime/database.hpp"
#include "runtime/gates.hpp"
#include "sql/keys.hpp"
#include "sql/tenants.hpp"

namespace kgents::actors {

/// A connection has seen this key of the tenant for the first time, or again after its cached copy
/// grew old.
/// -> answer<key_lease>. Node-local.
struct open_key {
  std::shared_ptr<const sql::resolved_key> key;
};

/// What a connection counts on while it holds the key.
struct key_lease {
  std::shared_ptr<runtime::key_gate> key;
  std::shared_ptr<runtime::tenant_gate> tenant;
};

}  // namespace kgents::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::actors::open_key)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::answer<kgents::actors::key_lease>)

namespace kgents::actors {

struct tenant_services {
  caf::actor database;
  runtime::tenant_gates* gates = nullptr;
  std::function<bool(const entity_id&, const caf::actor_addr&)> retire;
};

/// One tenant on one node: makes the gates of its keys and keeps them right. Gates are filled from PostgreSQL when a key is
/// first seen and kept while the tenant is in memory, so that a cached key that is looked up again
/// goes on counting where it was.
class tenant : public caf::event_based_actor {
public:
  tenant(caf::actor_config& config, entity_id id, std::shared_ptr<const tenant_services> services);

  const char* name() const override { return "tenant"; }
  caf::behavior make_behavior() override;

private:
  using promise = caf::typed_response_promise<answer<key_lease>>;

  void fill(const sql::resolved_key& key, const sql::tenant_row& row);
  void opened(const sql::resolved_key& key, promise out);
  void filled(api_key_id key, const refusal& why);

  const entity_id id_;
  const std::shared_ptr<const tenant_services> services_;
  std::unordered_map<api_key_id, std::shared_ptr<runtime::key_gate>> keys_;
  /// Who waits for a key that is being counted: a crowd with a new key counts it once.
  using waiting = std::vector<std::pair<std::shared_ptr<const sql::resolved_key>, promise>>;
  std::unordered_map<api_key_id, waiting> filling_;  // bounded by the entity's permits
};

}  // namespace kgents::actors
