#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "protocol/cursor.hpp"
#include "runtime/attach.hpp"
#include "runtime/hub.hpp"
#include "runtime/port.hpp"

namespace kgents::runtime {

/// A cursor into a session's stream, whatever carries it on (SSE, WebSocket, a feed to another
/// node): reads the live log, and what is older from PostgreSQL through the session's actor. It
/// holds a place, not a queue. No event passes it twice, and a hole makes it find its place anew,
/// whatever the log does below it.
///
/// Lives on one I/O thread; owned by shared_ptr, since answers of the actor may come after its
/// stream has ended.
class session_reader : public log_reader,
                       public std::enable_shared_from_this<session_reader> {
public:
  struct options {
    std::optional<cursor> from;  ///< none: live
    bool one_turn = false;       ///< only the turn of `from`
    bool only_here = false;      ///< refused (`port::status_not_here`) when the session is elsewhere
  };

  /// Hub and port are those of one thread.
  session_reader(hub& hub, port& port, entity_id session, options how);
  ~session_reader() override;

  /// Something to pull, or the reader ended. May be called inside `pull`'s caller; cheap.
  std::function<void()> on_ready = [] {};

  /// Finds its place; `placed` is called once: with a refusal (404 of another's cursor, 503), or
  /// none.
  void start(std::function<void(std::optional<refusal>)> placed);

  /// Goes on from there (WebSocket `resume`); when that is refused, where it was.
  void move_to(const cursor& place, std::function<void(std::optional<refusal>)> placed);

  /// At most `max` events that are ready, in order.
  void pull(std::vector<event_ptr>& out, size_t max);

  /// The place that the first event to be pulled follows, once `placed` was called without a
  /// refusal, as far as it is known.
  [[nodiscard]] const std::optional<cursor>& anchor() const noexcept { return anchor_; }

  /// The one turn's last event has been pulled, or the place is lost (the session cannot be reached
  /// any more).
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  /// Between a turn's first and last event.
  [[nodiscard]] bool in_turn() const noexcept { return in_turn_; }

  /// No more events; the stream is closing.
  void stop();

private:
  void advanced() override;
  void find_place();
  void placed(attached here);
  void follow(const log_ptr& log);
  [[nodiscard]] bool wanted(const stream_event& x) const;
  [[nodiscard]] bool seen(const stream_event& x) const;
  [[nodiscard]] bool hole_before(const stream_event& x) const;
  void retry();

  hub& hub_;
  port& port_;
  const entity_id session_;
  options how_;
  std::function<void(std::optional<refusal>)> on_placed_;
  log_ptr log_;
  uint64_t position_ = 0;
  std::optional<cursor> last_;  // behind the last event that was pulled
  std::optional<cursor> anchor_;
  std::deque<event_ptr> backlog_;
  std::vector<event_ptr> scratch_;
  wheel_timer retry_;
  uint64_t asked_ = 0;  // generation: answers of earlier questions are dropped
  bool live_ = false;
  bool asking_ = false;
  bool ended_ = false;
  bool in_turn_ = false;
};

}  // namespace kgents::runtime
