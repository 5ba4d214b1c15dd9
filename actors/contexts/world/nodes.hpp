#pragma once

#include "actors/logos/registry.hpp"

namespace kgents::actors {

void register_entities(registry& to);
void register_jobs(registry& to);
void register_purgatory(registry& to);
void register_agents(registry& to);

}  // namespace kgents::actors
