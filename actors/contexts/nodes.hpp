#pragma once

#include <span>

#include "actors/logos/registry.hpp"

/// What each context registers: one function a file of nodes, one list a context.
namespace kgents::actors {

void register_world(registry& to);
void register_self(registry& to);
void register_concept(registry& to);
void register_void(registry& to);
void register_time(registry& to);

}  // namespace kgents::actors
