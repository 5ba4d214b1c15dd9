#pragma once

#include <optional>
#include <variant>

#include "gateway/route.hpp"

namespace kgents::gateway {

/// The body of a message to a session, over HTTP or WebSocket.
extern const schema message_body;

/// A validated body as the session wants it, or why not: mode, `if_busy`, `on_disconnect` (400),
/// plan and quota (429). `idempotency_key` is the header's or the frame's; empty: none.
[[nodiscard]] std::variant<send_message, refusal> make_message(const boost::json::object& body,
                                                               const credential& who,
                                                               std::string_view idempotency_key);

}  // namespace kgents::gateway
