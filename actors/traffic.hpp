#pragma once

#include <caf/event_based_actor.hpp>
#include <functional>
#include <memory>
#include <unordered_map>

#include "protocol/messages.hpp"
#include "protocol/traffic.hpp"
#include "runtime/gates.hpp"

namespace kgents::actors {

struct traffic_services {
  runtime::tenant_gates* gates = nullptr;
  std::function<node_id()> self;
  std::function<bool(const entity_id&, const caf::actor_addr&)> retire;
};

/// One tenant's traffic, at home: leases blocks of permits to the gateways of other nodes. Requests
/// that arrive on this node take from the same buckets without asking it.
///
/// Everything is in memory. It stays while one of its buckets says more than a fresh one would,
/// which is up to an hour.
class traffic : public caf::event_based_actor {
public:
  traffic(caf::actor_config& config, entity_id id,
          std::shared_ptr<const traffic_services> services);

  const char* name() const override { return "traffic"; }
  caf::behavior make_behavior() override;

private:
  const entity_id id_;
  const std::shared_ptr<const traffic_services> services_;
  std::unordered_map<api_key_id, std::shared_ptr<runtime::traffic_gate>> keys_;
};

}  // namespace kgents::actors
