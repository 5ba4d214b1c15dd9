#pragma once

#include <functional>
#include <memory>

#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/frames.hpp"
#include "gateway/agentese/soul_turn.hpp"
#include "runtime/session_reader.hpp"

/// Answers of aspects as streams (http-api.md sections 11 and 12).
namespace kgents::gateway {

/// Runs the aspect that `what` names and answers the call with SSE. What self.soul says comes word
/// by word and can be resumed with `Last-Event-ID`; everything else is whole when it comes. What is
/// wrong before the first word is an ordinary answer in the dialect.
void stream_aspect(const call_ptr& c, actors::invocation what, stream_dialect how);

/// Whether an aspect's answer comes word by word.
[[nodiscard]] bool speaks(const registered& x);

/// Why no turn answers.
struct refused_turn {
  std::variant<agentese::error, refusal> why;
};
/// The tenant's own alias stands where everybody's does: it is an aspect of another node.
struct elsewhere {
  actors::invocation what;
};
using soul_reply = std::variant<soul_turn, refused_turn, elsewhere>;

/// Asks the aspect that `what` names, once everything is allowed; `at` is where it seems to be.
void ask_soul(const asker& by, actors::invocation what, const registered& at,
              std::function<void(soul_reply)> done);

}  // namespace kgents::gateway
