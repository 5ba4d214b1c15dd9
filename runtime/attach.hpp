#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <vector>

#include "protocol/messages.hpp"
#include "runtime/session_log.hpp"

namespace kgents::runtime {

/// Where a reader goes on: with the events of `backlog`, after which it asks again from the last of
/// them; when there are none, at `position` of the live log. Node-local, since the log is.
struct attached {
  log_ptr log;
  uint64_t position = 0;
  std::vector<event_ptr> backlog;
};

}  // namespace kgents::runtime

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::answer<kgents::runtime::attached>)
