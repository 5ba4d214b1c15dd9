#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"
#include "sql/token_budget.hpp"
#include "sql/usage.hpp"

namespace kgents::sql {

enum class turn_status : uint8_t { queued, running, completed, canceled, failed };

[[nodiscard]] std::string_view name(turn_status x) noexcept;
[[nodiscard]] constexpr bool ended(turn_status x) noexcept { return x > turn_status::running; }

/// The order of turns in their session (and beyond): grows, with gaps.
using turn_seq = int64_t;

/// A text made of chunks. `ends[i]` is where chunk i ends, in bytes of UTF-8; so `ends.size()` is
/// the number of chunks and the last end is the text's length.
struct chunked_text {
  std::string text;
  std::vector<uint32_t> ends;

  [[nodiscard]] size_t chunks() const noexcept { return ends.size(); }
  [[nodiscard]] std::string_view chunk(chunk_index i) const noexcept {
    const size_t from = i == 0 ? 0 : ends[i - 1];
    return std::string_view{text}.substr(from, ends[i] - from);
  }
};

enum class if_busy : uint8_t { queue, reject };

/// A user's message and the turn that answers it. The ids are the caller's, so that a repeated
/// write is recognised.
struct turn_start {
  turn_id turn;
  session_id session;
  message_id message;  ///< the user's
  message_id answer;   ///< the assistant's, written at the end
  std::string content;
  std::optional<std::string> mode{};  ///< given: becomes the session's; else the session's is taken
  std::string budget;
  bool cancel_on_disconnect = false;
  std::optional<api_key_id> api_key{};
  std::optional<std::string> idempotency_key{};
  std::optional<std::string>
      request_hash{};  ///< required with a key: the same key with another hash is a `mismatch`
  usage_id usage;      ///< of the metered operation
  uint32_t most_waiting = 8;
  sql::if_busy busy = sql::if_busy::queue;
  token_need tokens{};
  uint32_t history = 0;         ///< messages before it that its prompt carries besides
  uint32_t most_answering = 0;  ///< sessions of the tenant at once, on all nodes; only where its
                                ///< tokens are limited, 0: as many as like
};

struct begun_turn {
  enum class kind : uint8_t {
    started,   ///< written, running
    queued,    ///< written, waits for others
    joined,    ///< the turn or the idempotency key is known: ids and status are that turn's
    mismatch,  ///< the idempotency key is known for another request
    busy,      ///< `if_busy::reject` and a turn is unfinished
    full,      ///< too many wait
    closed,    ///< the session is closed
    missing,   ///< there is no such session
    exhausted,  ///< the month's tokens are used up or held back: see `budget`
    oversized,  ///< it needs more than the key may use at once: `budget.allowed`
    crowded,    ///< `most_answering` sessions of the tenant answer already
  };
  kind what = kind::missing;
  token_budget budget{};  ///< of `exhausted` and `oversized` only
  // Of `started`, `queued` and `joined` only:
  turn_id turn{};
  message_id message{};
  message_id answer{};
  std::string mode;
  lease_epoch epoch = 0;
  turn_status status = turn_status::queued;
  std::optional<uint64_t> most_tokens{};  ///< prompt and answer together; none: no limit
};

struct turn_end {
  turn_id turn;
  lease_epoch epoch = 0;
  turn_status status = turn_status::completed;  ///< an ended one
  chunked_text answer;  ///< empty: no assistant message is written; of a failed turn the durable
                        ///< chunks stay instead
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
  std::optional<std::string> finish_reason{};
  std::optional<std::string> error_type{};
  std::optional<std::string> error{};
  std::optional<std::string> model{};
  std::chrono::milliseconds latency{0};
  usage_id usage;  ///< of the event `llm_call`
};

struct ended_turn {
  bool fenced = false;  ///< not written: the epoch is old or the turn has already ended
  std::string created_at;
  uint64_t tokens_used = 0;
};

/// A turn as it may be shown. While it is unfinished or when it failed, `answer` is what is durable
/// of it.
struct turn_row {
  turn_id id;
  session_id session;
  turn_seq seq = 0;
  turn_status status = turn_status::queued;
  message_id message;
  message_id answer_id;
  std::string mode;
  lease_epoch epoch = 0;
  chunked_text answer;
  uint64_t tokens_used = 0;
  std::optional<std::string> finish_reason;
  std::optional<std::string> error_type;
  std::optional<std::string> error;
  std::string created_at;
  std::optional<std::string> ended_at;
  chunk_index inherited = 0;  ///< chunks that were durable when the present epoch began
};

/// All that is needed to go on with a turn after a crash.
struct unfinished_turn {
  turn_id id;
  turn_seq seq = 0;
  turn_status status = turn_status::queued;
  message_id message;
  message_id answer_id;
  std::string content;  ///< the user's
  std::string mode;
  std::string budget;
  bool cancel_on_disconnect = false;
  std::optional<api_key_id> api_key;
  lease_epoch epoch = 0;  ///< of the last owner; `claim` before writing
  chunked_text answer;    ///< what is durable: chunks 0, 1, 2 … up to the first hole
  std::optional<uint64_t> most_tokens;
};

struct turn_place {
  turn_seq seq = 0;
  turn_status status = turn_status::queued;
};

struct unfinished_session {
  tenant_id tenant;
  session_id session;
};

namespace turns {

/// In the same transaction it holds back the tokens that the turn may use at most, if the tenant or
/// the key has a monthly limit: used and held together never exceed it, however many begin at once
/// and wherever. They are held until the turn has ended, in whichever way.
[[nodiscard]] query<begun_turn> begin(tenant_id tenant, const turn_start& start);

/// Makes the caller the turn's only writer: queued or running -> running with a new epoch. None
/// when it has ended or does not exist.
[[nodiscard]] query<std::optional<lease_epoch>> claim(tenant_id tenant, turn_id turn);

/// Writes the answer, settles usage and the session's counters, drops the chunk rows: one
/// transaction. Safe to repeat: the second one is `fenced`.
[[nodiscard]] query<ended_turn> end(tenant_id tenant, const turn_end& end);

/// None when there is no such turn in that session, or no such session.
[[nodiscard]] query<std::optional<turn_row>> get(tenant_id tenant, session_id session,
                                                 turn_id turn);

/// Running and queued ones in order.
[[nodiscard]] query<std::vector<unfinished_turn>> unfinished_of(tenant_id tenant,
                                                                session_id session);

/// Turns with a larger `seq` than `after` in order, at most `limit`, and none behind the one whose
/// answer reaches `max_bytes`; those still queued are left out. `after` 0: from the first; the `seq`
/// of a turn less one: from that turn.
[[nodiscard]] query<std::vector<turn_row>> replay(tenant_id tenant, session_id session,
                                                  turn_seq after, uint32_t limit,
                                                  size_t max_bytes);

/// Where a cursor's turn stands; none when it is not one of this session.
[[nodiscard]] query<std::optional<turn_place>> locate(tenant_id tenant, session_id session,
                                                      turn_id turn);

/// The sessions with running or queued turns, of all tenants. Only on a pool of the control role.
[[nodiscard]] query<std::vector<unfinished_session>> all_unfinished();

}  // namespace turns

/// New chunks of any number of turns, sessions and tenants: one statement, one commit. Grows while
/// the commit before it is under way. The parameters are built as chunks come, so that taking them
/// copies nothing.
///
/// A turn's chunks must become durable in order: never have two batches with chunks of one turn in
/// flight at once.
class chunk_batch {
public:
  /// `epoch` is the turn's, `lease` that of its session's shard.
  void add(turn_id turn, lease_epoch epoch, chunk_index index, std::string_view text,
           const fence& lease);

  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] size_t bytes() const noexcept { return texts_.size(); }  ///< roughly, of text

  /// Empties the batch. Only on a pool of the control role. The answer: turns of which nothing was
  /// written under at least one of the epochs or leases given, because it is old or the turn does
  /// not run; the others' chunks are durable (those that were there already, unchanged).
  [[nodiscard]] query<std::vector<turn_id>> take();

private:
  // PostgreSQL's array literals, without the closing brace.
  std::string turns_, epochs_, indices_, texts_, shards_, leases_;
  size_t size_ = 0;
};

}  // namespace kgents::sql
