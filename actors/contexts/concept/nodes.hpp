#pragma once

#include "actors/logos/registry.hpp"

namespace kgents::actors {

void register_concepts(registry& to);
void register_blend(registry& to);
void register_summary(registry& to);

}  // namespace kgents::actors
