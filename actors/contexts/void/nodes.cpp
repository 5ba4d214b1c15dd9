// The nodes of the context void.

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_void(registry& to) { (void)to; }

}  // namespace kgents::actors
