// The nodes of the context concept.

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_concept(registry& to) { (void)to; }

}  // namespace kgents::actors
