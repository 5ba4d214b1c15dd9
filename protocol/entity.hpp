#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string_view>

#include "protocol/ids.hpp"

namespace kgents {

/// `world` to `time` are a tenant's AGENTESE contexts, one entity each; `traffic` counts its requests
/// for all gateways.
enum class entity_kind : uint8_t {
  tenant,
  session,
  soul,
  world,
  self,
  concept_,
  void_,
  time,
  traffic,
};

[[nodiscard]] constexpr std::string_view to_string(entity_kind x) noexcept {
  constexpr std::string_view names[] = {"tenant",  "session", "soul", "world",  "self",
                                        "concept", "void",    "time", "traffic"};
  return names[static_cast<size_t>(x)];
}

/// Address of an actor that lives somewhere in the cluster: never a handle.
///
/// The tenant is part of the address, so a session id in another tenant's request names an entity
/// of that tenant, which finds no row under row-level security: what is not yours does not exist.
struct entity_id {
  entity_kind kind = entity_kind::tenant;
  tenant_id tenant;
  uuid key;

  friend auto operator<=>(const entity_id&, const entity_id&) = default;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, entity_id& x) {
  return f(x.kind, x.tenant, x.key);
}

[[nodiscard]] inline entity_id session_entity(tenant_id tenant, session_id session) noexcept {
  return {entity_kind::session, tenant, session.value};
}
[[nodiscard]] inline entity_id tenant_entity(tenant_id tenant) noexcept {
  return {entity_kind::tenant, tenant, tenant.value};
}
/// `kind` is one of the five contexts.
[[nodiscard]] inline entity_id context_entity(entity_kind kind, tenant_id tenant) noexcept {
  return {kind, tenant, tenant.value};
}

}  // namespace kgents

template <>
struct std::hash<kgents::entity_id> {
  size_t operator()(const kgents::entity_id& x) const noexcept {
    return std::hash<kgents::uuid>{}(x.key) ^ std::hash<kgents::uuid>{}(x.tenant.value) * 31 ^
           static_cast<size_t>(x.kind);
  }
};
