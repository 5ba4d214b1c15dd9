#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "protocol/entity.hpp"
#include "protocol/stream_event.hpp"
#include "sql/agentese_mark.hpp"

namespace kgents::runtime::bus {

using wall_time = std::chrono::system_clock::time_point;

/// ISO 8601 in UTC with microseconds: `2025-12-14T10:30:00.123456+00:00`.
[[nodiscard]] std::string iso_time(wall_time at);

/// What an event of a session is called in its subject and payload: `dialogue_start`, `chunk`,
/// `complete` or `error`. Empty for one that is not published (a gap is between one reader and us).
[[nodiscard]] std::string_view type_of(event_kind kind) noexcept;

/// `<message>:<index>`; the first and last event of a turn have `start` and `end` as index.
[[nodiscard]] std::string session_message_id(const stream_event& x);

/// The payload of an event of a session (events-and-billing.md 2.4 and 2.5).
/// `x.kind()` is one that is published.
[[nodiscard]] std::string session_payload(const entity_id& session, const stream_event& x,
                                          wall_time at);

/// An invocation: who, what, how it ended. Not what it gave back: that is in the tenant's log, and
/// a copy of everybody's texts is nothing for an event.
[[nodiscard]] std::string invocation_payload(const sql::agentese_mark& x);

}  // namespace kgents::runtime::bus
