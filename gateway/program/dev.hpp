#pragma once

#include "runtime/settings.hpp"

namespace kgents::gateway {

/// `kgentsd dev`: starts a private PostgreSQL and a private nats-server under `config.state_dir`,
/// migrates, seeds the development tenant and keys, and serves, all with the code that production
/// runs. Returns the exit status; a child that dies while the server runs ends it with 70. Call it
/// on the main thread.
///
/// No child outlives this process: they are stopped in order at the end, and by the kernel when
/// there is no end in order.
int dev(runtime::settings config, bool fresh);

}  // namespace kgents::gateway
