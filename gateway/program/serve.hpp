#pragma once

#include "runtime/settings.hpp"

namespace kgents::gateway {

/// Runs the server on the calling thread until it is told to stop, and returns the program's exit
/// status: 0 stopped as asked, 69 a required dependency is out of reach at start, 70 internal
/// failure.
///
/// Prints the ready line on standard output once requests are accepted. SIGTERM and SIGINT drain, a
/// second one stops at once, SIGHUP reloads; call it with those signals at their default
/// disposition and unblocked.
int serve(const runtime::settings& config);

}  // namespace kgents::gateway
