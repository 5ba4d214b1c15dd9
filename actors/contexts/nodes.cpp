#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

const registry& all_nodes() {
  static const registry all = [] {
    registry out;
    register_world(out);
    register_self(out);
    register_concept(out);
    register_void(out);
    register_time(out);
    return out;
  }();
  return all;
}

}  // namespace kgents::actors
