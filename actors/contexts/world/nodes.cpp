// The nodes of the context world.

#include "actors/contexts/world/nodes.hpp"

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_world(registry& to) {
  register_entities(to);
  register_jobs(to);
  register_purgatory(to);
  register_agents(to);
}

}  // namespace kgents::actors
