// The nodes of the context world.

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_world(registry& to) { (void)to; }

}  // namespace kgents::actors
