#pragma once

#include "gateway/route.hpp"

namespace kgents::gateway {

/// Opens `GET /v1/kgent/sessions/{id}/ws`: the session's stream and its messages over one socket,
/// subprotocol `kgents.v1` (JSON text frames). Live from the moment it opens; `resume` moves the
/// cursor back.
void open_websocket(const call_ptr& c, const entity_id& session);

}  // namespace kgents::gateway
