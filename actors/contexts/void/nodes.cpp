#include "actors/contexts/void/nodes.hpp"

#include "actors/contexts/nodes.hpp"

namespace kgents::actors {

void register_void(registry& to) {
  void_nodes::register_entropy(to);
  void_nodes::register_serendipity(to);
  void_nodes::register_gratitude(to);
  void_nodes::register_capital(to);
  void_nodes::register_pataphysics(to);
  void_nodes::register_metabolism(to);
  void_nodes::register_hypnagogia(to);
  void_nodes::register_generic(to);
}

}  // namespace kgents::actors
