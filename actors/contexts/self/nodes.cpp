// The nodes of the context self.

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_self(registry& to) { (void)to; }

}  // namespace kgents::actors
