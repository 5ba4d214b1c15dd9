#include "actors/contexts/world/nodes.hpp"
namespace kgents::actors {
void register_agents(registry&) {}
}
