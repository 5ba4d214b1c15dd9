// The nodes of the context self.

#include "actors/contexts/self/nodes.hpp"

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_self(registry& to) {
  using namespace self_nodes;
  register_memory(to);
  register_state(to);
  register_judgment(to);
  register_semaphore(to);
  register_vitals(to);
  register_aliases(to);
  register_soul(to);
  register_kgent(to);
  register_generic(to);
}

}  // namespace kgents::actors
