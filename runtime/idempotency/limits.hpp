#pragma once

#include <chrono>
#include <cstddef>

/// The bounds of the idempotency store, each with its unit and why that number.
namespace kgents::runtime::idempotency {

using namespace std::chrono_literals;

/// A command to Redis; what is not answered by then is answered from memory and the connection is
/// given up. A healthy Redis answers within a millisecond.
inline constexpr auto command_deadline = 250ms;
/// Connection, TLS, AUTH, SELECT and PING together.
inline constexpr auto connect_deadline = 1000ms;
/// From a lost connection to the next attempt (events-and-billing.md section 5).
inline constexpr auto probe_every = 5s;
/// Commands sent and not yet answered; one more is answered from memory.
inline constexpr size_t commands_in_flight = 1000;

/// Ids in memory, and bytes of them with their answers; the oldest go first.
inline constexpr size_t memory_entries = 10'000;
inline constexpr size_t memory_bytes = 32 * 1024 * 1024;

/// A claim whose holder died can be made again after this long (section 5).
inline constexpr auto hold = 300s;
/// How long a Stripe event is known: longer than its 72 h of redelivery.
inline constexpr auto keep_event = 96h;
/// How long the answer to a client's `Idempotency-Key` is.
inline constexpr auto keep_answer = 24h;
/// Longer answers are not kept; that they were given is.
inline constexpr size_t answer_bytes = 64 * 1024;

}  // namespace kgents::runtime::idempotency
