#pragma once

#include "actors/logos/registry.hpp"

/// The nodes of the context time, one function a file.
namespace kgents::actors {

void register_trace(registry& to);
void register_past(registry& to);
void register_future(registry& to);
void register_schedule(registry& to);

}  // namespace kgents::actors
