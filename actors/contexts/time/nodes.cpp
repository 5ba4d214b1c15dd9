// The nodes of the context time.

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_time(registry& to) { (void)to; }

}  // namespace kgents::actors
