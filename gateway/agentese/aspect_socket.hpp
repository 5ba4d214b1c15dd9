#pragma once

#include <string>

#include "gateway/agentese/asking.hpp"

namespace kgents::gateway {

/// Upgrades the call to a WebSocket at the node `usual.path` (http-api.md section 12): the client
/// sends `{aspect="manifest", kwargs={}, observer?, id?}`, the server answers `result`, or `chunk`s
/// and `done`, or `error`, each with the `id` of its request. It stays open for more; so many
/// requests may be under way at once, and what the client does not read holds up only its own.
void open_aspect_socket(const call_ptr& c, actors::invocation usual);

}  // namespace kgents::gateway
