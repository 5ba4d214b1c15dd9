#pragma once

#include "actors/logos/registry.hpp"

/// The nodes of the context void, one function a file.
namespace kgents::actors::void_nodes {

void register_entropy(registry& to);
void register_serendipity(registry& to);
void register_gratitude(registry& to);
void register_capital(registry& to);
void register_pataphysics(registry& to);
void register_metabolism(registry& to);
void register_hypnagogia(registry& to);
void register_generic(registry& to);

}  // namespace kgents::actors::void_nodes
