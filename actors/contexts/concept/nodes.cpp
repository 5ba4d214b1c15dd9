// The nodes of the context concept.

#include "actors/contexts/concept/nodes.hpp"

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_concept(registry& to) {
  register_concepts(to);
  register_blend(to);
  register_summary(to);
}

}  // namespace kgents::actors
