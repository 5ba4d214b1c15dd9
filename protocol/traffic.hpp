#pragma once

#include <cstdint>

#include "protocol/cluster.hpp"
#include "protocol/entity.hpp"

/// What gateways say to the home of a tenant's traffic: `runtime/admission`.
namespace kgents {

/// The entity that counts a tenant's requests for all gateways; it lives where its shard does.
[[nodiscard]] inline entity_id traffic_entity(tenant_id tenant) noexcept {
  return {entity_kind::traffic, tenant, tenant.value};
}

/// A gateway has no permits left for requests with this key. -> answer<traffic_block>
struct take_traffic {
  api_key_id key;
  uint32_t requests_per_minute = 0;  ///< the key's limits as the gateway knows them; 0: unlimited
  uint32_t burst = 0;
  uint32_t requests_per_hour = 0;
  node_id from;
  int64_t hour = 0;       ///< since 1970, UTC …
  uint32_t admitted = 0;  ///< … and what the gateway has let in during it
  uint32_t need = 0;      ///< requests that wait
  uint32_t spare = 0;     ///< permits it would take beyond those
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, take_traffic& x) {
  return f(x.key, x.requests_per_minute, x.burst, x.requests_per_hour, x.from, x.hour, x.admitted,
           x.need, x.spare);
}

struct traffic_block {
  uint32_t granted = 0;
  bool hourly = false;    ///< with less than was needed: it was the hour's limit
  uint32_t wait_ms = 0;   ///< with less than was needed: none before this time
  uint32_t left = 0;      ///< in the bucket
  uint32_t elsewhere = 0; ///< requests of this hour on all other nodes
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, traffic_block& x) {
  return f(x.granted, x.hourly, x.wait_ms, x.left, x.elsewhere);
}

}  // namespace kgents
