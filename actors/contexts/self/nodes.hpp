#pragma once

#include "actors/logos/registry.hpp"

/// The nodes of the context self, one function a file.
namespace kgents::actors::self_nodes {

void register_memory(registry& to);
void register_state(registry& to);
void register_judgment(registry& to);
void register_semaphore(registry& to);
void register_vitals(registry& to);
void register_aliases(registry& to);
void register_soul(registry& to);
void register_kgent(registry& to);
void register_generic(registry& to);

}  // namespace kgents::actors::self_nodes
