#pragma once

#include <memory>

#include "gateway/route.hpp"
#include "protocol/stream_event.hpp"
#include "runtime/session_reader.hpp"

namespace kgents::gateway {

using runtime::session_reader;

/// When, of all streams, this one leaves a node that drains: from 0 to 1.
[[nodiscard]] double draw_lot();

/// How the events of a turn look to clients that know nothing of sessions.
class sse_framing {
public:
  virtual ~sse_framing() = default;
  /// A whole SSE frame; empty: it is not shown.
  [[nodiscard]] virtual std::string frame(const stream_event& x) = 0;
};

/// Streams `reader`'s events to the caller as SSE, once the reader has found its place; refuses the
/// call when it can't.
///
/// `bare`: the answer to one message, which has no `turn` events and ends with its turn.
/// `gone` is called when the client left before the end.
/// `framing`: none, a session's own form.
void stream_sse(const call_ptr& c, std::shared_ptr<session_reader> reader, bool bare,
                std::string_view more_lines, std::function<void()> gone,
                std::shared_ptr<sse_framing> framing = nullptr);

}  // namespace kgents::gateway
