#pragma once

#include <iosfwd>

#include "runtime/settings.hpp"

namespace kgents::gateway {

/// `kgentsd check`: one line for each thing that `serve` would depend on, whether it can be reached
/// and is fit to be used. Returns the exit status: 0, or 69 when something required is missing.
/// Blocks for some seconds at most per line.
int check(const runtime::settings& config, std::ostream& out);

/// `kgentsd check --live`: asks the server of this host for /live. 0 when it answers 200 within
/// three seconds, else 1.
int check_live(const runtime::settings& config, std::ostream& out);

}  // namespace kgents::gateway
