#pragma once

#include <array>
#include <atomic>
#include <boost/container/deque.hpp>
#include <caf/actor_addr.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "protocol/entity.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::runtime {

/// The live end of one session's stream: an append-only sequence of events that its readers follow
/// by position.
///
/// A reader is a position, not a queue: ten thousand slow readers of one answer then cost ten
/// thousand integers. One writer appends: the session's actor where the session lives, elsewhere the
/// mirror that is fed from there; the log writer commits; hubs read. Events are shown once they are
/// committed (durability `durable`) or at once (`memory`). Positions count from the log's creation
/// and never repeat.
///
/// The writer writes under the epoch of its shard's lease: what comes with an older one is dropped,
/// so nothing of an owner that was replaced reaches a reader.
///
/// Any thread may call any member; each holds a mutex for a few dozen nanoseconds.
class session_log {
public:
  /// `tally`, which outlives this, counts the uncommitted bytes of all logs of a node.
  session_log(const entity_id& session, std::atomic<size_t>& tally)
      : session_{session}, tally_{tally} {}
  ~session_log();
  session_log(const session_log&) = delete;
  session_log& operator=(const session_log&) = delete;

  struct bounds {
    uint64_t base = 0;   ///< first position still held
    uint64_t shown = 0;  ///< readers may read positions below
    uint64_t end = 0;    ///< next position to be appended
  };

  [[nodiscard]] const entity_id& session() const noexcept { return session_; }
  [[nodiscard]] bounds at() const;

  /// \name For the writer.
  /// @{
  /// What follows what the log holds already.
  enum class start : uint8_t {
    anywhere,  ///< maybe not the next event: after another owner, every reader finds its place anew
    behind,    ///< the next event: the writer asked for what comes after `last_place()`
  };
  /// Makes the caller the writer under this lease; what was not committed is forgotten. False when
  /// somebody writes under a newer one. `owner` hears of commits and refusals; may be null.
  bool begin(lease_epoch lease, caf::actor_addr owner, start where);
  /// The session is to live here, under that lease, after it lived elsewhere: what is held is
  /// forgotten, so that every reader asks its actor for its place. False when somebody writes under
  /// this lease (or a newer one) already.
  bool outdate(lease_epoch lease);
  /// Appends a chunk that waits for its commit (or not, when `show_now`).
  void append_chunk(event_ptr event, bool show_now, lease_epoch lease);
  /// Appends what is durable already. Everything before it must be shown.
  void append_shown(event_ptr event, lease_epoch lease);
  /// The turn that the log breaks off in has ended, and its end was not shown here: every reader
  /// finds its place anew. False when somebody else writes.
  bool begin_anew(lease_epoch lease);
  /// The place before the first event to come, when nothing is known of it yet.
  void begin_behind(const cursor& place);
  /// @}
  [[nodiscard]] lease_epoch lease() const;

  /// The place that a reader of everything has reached: what comes next follows it.
  [[nodiscard]] std::optional<cursor> last_place() const;
  /// The place before `position`, as far as it is known.
  [[nodiscard]] std::optional<cursor> place_before(uint64_t position) const;
  /// The turn whose last event is yet to come.
  [[nodiscard]] std::optional<turn_id> open_turn() const;

  /// Events from `position` on that are shown, at most `max`; moves `position` behind them. False
  /// when `position` is before `base`: the reader must catch up from PostgreSQL.
  bool read(uint64_t& position, std::vector<event_ptr>& out, size_t max) const;

  /// Position behind `place`, when what follows it in its turn is held.
  [[nodiscard]] std::optional<uint64_t> behind(const cursor& place) const;
  /// Position of that turn's first event, when it is held.
  [[nodiscard]] std::optional<uint64_t> first_of(turn_id turn) const;
  /// Index of the first event of that turn that is held.
  [[nodiscard]] std::optional<int64_t> held_from(turn_id turn) const;

  /// The shown events of that turn that are held, in order.
  [[nodiscard]] std::vector<event_ptr> shown_of(turn_id turn) const;

  /// Forgets shown events before `position`.
  void drop_before(uint64_t position);
  /// Forgets what was never committed or shown: a new activation of the session goes on from the
  /// durable prefix.
  void drop_uncommitted();
  [[nodiscard]] size_t held_bytes() const;

  /// \name For the log writer.
  /// @{
  struct uncommitted {
    uint64_t take = 0;  ///< which take this is, for `committed` and `failed`
    lease_epoch lease = 0;  ///< under which the chunks were made
    std::vector<event_ptr> chunks;
  };
  /// The next chunks that are not under way, at most `max`, and marks them so. Empty while others
  /// are under way: a turn's chunks are committed in order.
  [[nodiscard]] uncommitted take(size_t max);
  /// What that take took is durable, and shown if `show`. Returns who waits to hear that its chunks
  /// are committed, if anybody. Nothing happens when a new activation has dropped what was under
  /// way.
  [[nodiscard]] caf::actor_addr committed(uint64_t take, bool show);
  /// What that take took is not durable: it will be taken again. Nothing happens as for
  /// `committed`.
  void failed(uint64_t take);
  /// True when the caller must tell the writer: it was not told since its last take.
  bool mark_dirty();
  /// @}

  [[nodiscard]] caf::actor_addr owner() const;

  /// The owner wants to hear when everything up to the present end is committed; false: it is
  /// already.
  bool want_commit();
  [[nodiscard]] bool all_committed() const;

  /// The session was removed: nothing will be appended any more, and its readers end.
  void close() noexcept { closed_ = true; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }

  /// One bit per I/O thread that has readers.
  std::atomic<uint64_t> hubs{0};

private:
  void count_uncommitted(size_t now);
  void forget_uncommitted();
  void forget_all();
  [[nodiscard]] const cursor* last_shown() const;

  const entity_id session_;
  std::atomic<size_t>& tally_;
  mutable std::mutex mutex_;
  boost::container::deque<event_ptr> events_;  // unlike std's, it allocates nothing while empty
  uint64_t base_ = 0;
  uint64_t shown_ = 0;
  uint64_t committed_ = 0;  // chunks below are durable
  uint64_t taken_ = 0;      // chunks below are durable or under way
  uint64_t take_ = 0;       // number of the take that is under way, or was last
  uint64_t wanted_ = 0;     // the session waits for committed_ to reach it; 0: it does not
  size_t bytes_ = 0;
  size_t uncommitted_bytes_ = 0;
  caf::actor_addr owner_;
  lease_epoch lease_ = 0;
  std::optional<cursor> anchor_;  // the place before base_, if it is known
  bool dirty_ = false;
  std::atomic<bool> closed_{false};
};

using log_ptr = std::shared_ptr<session_log>;

/// The live logs of a node, by session: one while a reader or the session's actor holds it, so that
/// readers keep theirs while the actor is passivated or restarted.
class session_logs {
public:
  [[nodiscard]] log_ptr open(const entity_id& session);

  /// Those that somebody reads: what a node must go on feeding when the session moves.
  [[nodiscard]] std::vector<log_ptr> read() const;

  /// Text of all logs that is appended and not yet committed.
  [[nodiscard]] size_t uncommitted_bytes() const noexcept { return uncommitted_.load(); }

private:
  static constexpr size_t parts = 16;
  struct part {
    mutable std::mutex mutex;
    // By tenant and session: another tenant's id never reaches this tenant's log.
    std::unordered_map<entity_id, std::weak_ptr<session_log>> logs;
    size_t sweep_at = 64;
  };
  std::atomic<size_t> uncommitted_{0};
  std::array<part, parts> parts_;
};

}  // namespace kgents::runtime
