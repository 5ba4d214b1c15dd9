#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of the event log and its subscriptions, each with its unit and why that number.
namespace kgents::runtime::agentese::limits {

using namespace std::chrono_literals;

/// Marks of a node that are not yet committed: half a second of what one node invokes at its
/// fastest, so that a checkpoint or a failover costs none …
inline constexpr size_t journal_marks = 20'000;
/// … and their bytes, since results may be large.
inline constexpr size_t journal_bytes = 16 * 1024 * 1024;
/// What is billed begins only below this part of either: the rest is for what has begun.
inline constexpr size_t journal_admitted(size_t most) { return most / 4 * 3; }
/// Under load marks are taken this often: within the 10 ms that a subscriber may wait.
inline constexpr auto journal_collect_every = std::chrono::milliseconds{2};
/// Marks in one commit, as for the token log.
inline constexpr size_t journal_batch_marks = 512;
/// Bytes in one commit: more would hold up the requests that share the connection.
inline constexpr size_t journal_batch_bytes = 2 * 1024 * 1024;
/// Commits under way at once, of different tenants: two share PostgreSQL's flushes, and the token log
/// needs the other connections.
inline constexpr size_t journal_commits = 2;
/// Between attempts of a commit that failed; nobody waits for it.
inline constexpr auto journal_retry_first = 100ms;
inline constexpr auto journal_retry_most = 2000ms;
inline constexpr auto journal_commit_deadline = 5000ms;

/// What is retained of a tenant's log (agentese.md section 13): so many events, none older.
inline constexpr size_t retained_events = 10'000;
inline constexpr auto retained_for = 24h;
/// How often a node trims the logs that it wrote to, and after how many new marks of a tenant: a
/// log is at most a twentieth too long, or a moment's worth of a busy tenant.
inline constexpr auto trim_every = 10s;
inline constexpr size_t trim_after_marks = 500;
/// Every so many rounds all logs that were written to, however little.
inline constexpr unsigned trim_all_rounds = 60;
/// Rows in one delete: some ten milliseconds.
inline constexpr size_t trim_rows = 2000;

/// Events in one page of a tenant's log: with 64 KiB of data each they are 8 MiB at most.
inline constexpr size_t feed_page = 128;
/// Pages read at once, of all tenants of a node; the others wait.
inline constexpr size_t feed_reads = 4;
/// A log is looked at that often even when nobody was told of news: NOTIFY may be lost with its
/// connection or swallowed by a pooler.
inline constexpr auto feed_poll = 1s;
inline constexpr auto feed_deadline = 5s;
/// Logs asked about in one poll; a node with more of them takes turns.
inline constexpr size_t feed_poll_logs = 1000;
/// A replay whose page could not be read tries again after this long.
inline constexpr auto replay_retry = 500ms;

/// Of one subscription: events it may be behind, by default and at most.
inline constexpr uint32_t buffer_default = 1000;
inline constexpr uint32_t buffer_most = 10'000;
/// Bytes of data that one subscription may hold back; beyond, events are dropped as if its buffer
/// were full. Two streams of large results that nobody reads must not cost a gigabyte.
inline constexpr size_t buffer_bytes = 4 * 1024 * 1024;
inline constexpr auto heartbeat_default = 30s;
inline constexpr auto heartbeat_least = 1s;
inline constexpr auto heartbeat_most = 300s;
/// at_least_once: not acknowledged for this long, it is delivered again, looked for this often …
inline constexpr auto redeliver_after = 30s;
inline constexpr auto redeliver_check = 15s;
/// … and after so many times given up.
inline constexpr uint8_t redeliveries = 3;

}  // namespace kgents::runtime::agentese::limits
