#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every queue, buffer, timeout and retry of the runtime, each with its unit and why that number.
/// `kgentsd check` prints them.
namespace kgents::runtime::limits {

using namespace std::chrono_literals;

/// Chunks a turn may send before the session has acknowledged any: 64 (design.md section 4) are
/// over a second of text.
inline constexpr uint32_t turn_credit_chunks = 64;
/// Credit of a turn while the node's log is over its bound: enough to notice that it is under it
/// again.
inline constexpr uint32_t turn_credit_when_full = 1;
/// Uncommitted chunk bytes of a node before turns get no more credit (design.md section 4).
inline constexpr size_t log_uncommitted_bytes = 4 * 1024 * 1024;
/// Rows in one commit of the log: at 500 rows a statement PostgreSQL takes about 200,000 rows a
/// second (measured).
inline constexpr size_t log_batch_rows = 512;
/// Commits under way at once: a connection does not group its own commits, two or three do
/// (measured).
inline constexpr size_t log_connections = 3;
/// Between attempts of a commit that failed: short, since turns wait for it; doubled up to a
/// second.
inline constexpr auto log_retry_first = 50ms;
inline constexpr auto log_retry_most = 1000ms;
/// One commit: PostgreSQL under a checkpoint stays below; a hung connection is dropped and the
/// batch sent again.
inline constexpr auto log_commit_deadline = 5000ms;

/// Turns of a session that wait behind the running one (design.md section 4).
inline constexpr uint32_t waiting_turns = 8;
/// Shown events of a running turn that its log holds for its readers, at least and at most: a
/// second or two of text. What is older comes from the session's own text of the answer. (An event
/// takes some 350 bytes.)
inline constexpr uint64_t log_keep_running = 64;
inline constexpr uint64_t log_trim_running = 160;
/// Ended turns stay in a session's live log for readers that are close behind, this long …
inline constexpr auto log_keep_ended = 30s;
/// … and at most this many bytes of frames; what was dropped is read from PostgreSQL.
inline constexpr size_t log_keep_bytes = 1024 * 1024;
/// Turns in one page of a replay from PostgreSQL …
inline constexpr size_t replay_turns = 16;
/// … and bytes of frames after which a page ends: every reader that fell behind holds one of its
/// own.
inline constexpr size_t replay_bytes = 256 * 1024;

/// A session without a turn or message for this long leaves memory (its state is in PostgreSQL
/// already).
inline constexpr auto passivate_after = 120s;
/// Messages sent to one entity and not yet answered; beyond: 503. A crowd of followers that
/// reconnects at once asks one session for its place in one moment; a message in a mailbox takes
/// some 200 bytes.
inline constexpr uint32_t entity_in_flight = 4096;
/// The same for a node: what two cores can answer within about a second.
inline constexpr uint32_t node_in_flight = 20'000;
/// Requests under way before a node is shared out between its tenants (admission/fair_share.hpp):
/// as many as the database's connections of a node answer in eight rounds.
inline constexpr uint32_t saturated_at = 64;
/// Readers of one thread that look for their places at once; the others wait. When a node dies, its
/// thousands of followed sessions are activated elsewhere, and requests must not queue behind them.
inline constexpr size_t attaching = 32;
/// A request to an entity that is not answered by then gets 504; PostgreSQL's own deadline is
/// shorter.
inline constexpr auto entity_deadline = 10s;
/// The same where a model is asked on the way: its own deadline (120 s, agentese.md 18.7) and some.
inline constexpr auto slow_entity_deadline = 130s;
/// A transaction of an entity or route.
inline constexpr auto sql_deadline = 5s;
/// Between attempts to end a turn while PostgreSQL is away.
inline constexpr auto end_turn_retry = 250ms;

/// API keys: positive and negative cache (data.md section 8).
inline constexpr auto key_cache_ttl = 30s;
inline constexpr auto key_cache_negative_ttl = 5s;
/// Entries of the key cache; the oldest go first. An attacker with random keys turns over the
/// negative entries only.
inline constexpr size_t key_cache_entries = 50'000;
inline constexpr size_t key_cache_negative_entries = 10'000;

/// An idle stream carries a comment this often (design.md section 3).
inline constexpr auto heartbeat = 15s;

/// Messages an actor handles before it yields its worker: unlimited starves others completely
/// (measured).
inline constexpr size_t max_throughput = 30;

}  // namespace kgents::runtime::limits
