#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/ids.hpp"

namespace kgents {

/// What happened to a node, as the tenant's event log has it (agentese.md section 13).
enum class agentese_event_type : uint8_t { invoked, changed, error, refused };

[[nodiscard]] std::string_view to_string(agentese_event_type x) noexcept;
[[nodiscard]] std::optional<agentese_event_type> parse_agentese_event_type(
    std::string_view text) noexcept;

/// One row of a tenant's event log. Immutable once shared; what goes over the wire is encoded when
/// it is first asked for and then shared by all subscriptions.
struct agentese_event {
  int64_t seq = 0;  ///< position in the tenant's log: from 1, without a hole, in order of commits
  uuid event_id;
  agentese_event_type type = agentese_event_type::invoked;
  std::string path;       ///< of the node: `void.entropy`
  std::string aspect;     ///< what was invoked, also when it failed
  std::string archetype;  ///< of the observer
  std::string observer;   ///< its id; empty: unknown
  std::string timestamp;  ///< wire form
  int64_t timestamp_us = 0;  ///< the same, microseconds since 1970
  std::string data;       ///< JSON; empty: null
  bool truncated = false;  ///< the data was too large to be kept
  std::string status;      ///< `ok` or an error's code
  uint32_t duration_ms = 0;
  uint32_t tokens = 0;
  std::string trace_id, span_id, parent_span_id;
  std::string origin;  ///< gateway, v1, api, schedule, …
  std::string caller;  ///< node path of the aspect that invoked this one; empty: a client did

  agentese_event() = default;
  ~agentese_event();
  agentese_event(const agentese_event&) = delete;
  agentese_event& operator=(const agentese_event&) = delete;

  /// As subscribers see them: errors, refusals and changes are the system's (`error`, `refusal`,
  /// `state`).
  [[nodiscard]] std::string_view shown_aspect() const noexcept;
  [[nodiscard]] std::string_view shown_archetype() const noexcept;

  struct form {
    bool with_seq = false;
    /// Without the data, for an observer who is not afforded the aspect.
    bool redacted = false;
  };
  /// The event as a JSON object. Any thread.
  [[nodiscard]] std::string json(form how) const;
  /// Its SSE frame as one HTTP chunk, made once for each form. Any thread.
  [[nodiscard]] std::string_view http_chunk(form how) const;
  /// The frame alone, for a client without chunked encoding.
  [[nodiscard]] std::string_view sse(form how) const;
  /// The text of a WebSocket message: `type: "event"`, then the event's members. Any thread.
  [[nodiscard]] std::string_view websocket_text(form how) const;

private:
  struct encoded {
    std::string text;
    size_t frame_at = 0;  // where the SSE frame begins in an HTTP chunk
  };
  using slot = std::atomic<const encoded*>;
  template <class Make>
  static const encoded& once(slot& where, Make make);
  [[nodiscard]] const encoded& chunk(form how) const;

  mutable slot chunks_[4] = {};
  mutable slot texts_[4] = {};
};

using agentese_event_ptr = std::shared_ptr<const agentese_event>;

}  // namespace kgents
