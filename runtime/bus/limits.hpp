#pragma once

#include <chrono>
#include <cstddef>

/// The bounds of the event bus (events-and-billing.md section 2, design.md section 4).
namespace kgents::runtime::limits {

using namespace std::chrono_literals;

/// Publishes of a node that the broker has not acknowledged.
inline constexpr size_t bus_unacknowledged = 1'000;
/// Events of one lane (a session, say) that wait; beyond it the oldest goes.
inline constexpr size_t bus_ring_events = 1'000;
/// Lanes with events that wait; beyond it the one that was silent longest goes.
inline constexpr size_t bus_lanes = 10'000;
/// Bytes of all events that wait: the two bounds above alone would allow gigabytes.
inline constexpr size_t bus_ring_bytes = 64 * 1024 * 1024;
/// Events older than this are of no use to a viewer.
inline constexpr auto bus_keep = 10min;
/// Events handed over and not yet looked at by the bus's thread: a third of a second of what a
/// node's log can write.
inline constexpr size_t bus_handed_over = 65'536;
/// An event: nats-server takes 1 MiB, headers included.
inline constexpr size_t bus_event_bytes = 1'000'000;
/// Text of an answer in its `complete` event; longer ones are left out, for the chunks have it.
/// JSON may need six bytes for one.
inline constexpr size_t bus_text_bytes = 160'000;

/// Until an acknowledgement counts as failed.
inline constexpr auto bus_ack_deadline = 2s;
/// Before a lane tries again what failed; doubled up to the second one.
inline constexpr auto bus_retry_first = 250ms;
inline constexpr auto bus_retry_most = 2s;
/// A connection attempt, and between attempts: doubled, with jitter, for ever.
inline constexpr auto bus_connect = 5s;
inline constexpr auto bus_reconnect_first = 1s;
inline constexpr auto bus_reconnect_most = 30s;
/// A server that answers no ping twice is left: a partition is not noticed otherwise.
inline constexpr auto bus_ping = 10s;
/// One write to a socket whose buffers are full.
inline constexpr auto bus_write = 2s;
/// How often the stream is looked at for /health/saas, and a request to JetStream's API.
inline constexpr auto bus_probe = 5s;
inline constexpr auto bus_api = 5s;
/// Between attempts to set up the streams.
inline constexpr auto bus_set_up_retry = 1s;
/// At a shutdown: what waits may still go, that long.
inline constexpr auto bus_flush = 2s;

}  // namespace kgents::runtime::limits
