#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "gateway/node.hpp"
#include "protocol/cursor.hpp"
#include "runtime/attach.hpp"
#include "runtime/hub.hpp"

namespace kgents::gateway {

/// A cursor into a session's stream, whatever carries it to the client: reads the live log, and
/// what is older from PostgreSQL through the session's actor. It holds a place, not a queue.
///
/// Lives on one I/O thread; owned by shared_ptr, since answers of the actor may come after its
/// stream has ended.
class session_reader : public runtime::log_reader,
                       public std::enable_shared_from_this<session_reader> {
public:
  struct options {
    std::optional<cursor> from;  ///< none: live
    bool one_turn = false;       ///< only the turn of `from`
  };

  session_reader(node& at, runtime::io_thread& thread, entity_id session, options how);
  /// The same from the two parts of a node that it needs, those of one thread.
  session_reader(runtime::hub& hub, runtime::port& port, entity_id session, options how);
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
  void placed(runtime::attached here);
  void follow(const runtime::log_ptr& log);
  [[nodiscard]] bool wanted(const stream_event& x) const;
  void retry();

  runtime::hub& hub_;
  runtime::port& port_;
  const entity_id session_;
  options how_;
  std::function<void(std::optional<refusal>)> on_placed_;
  runtime::log_ptr log_;
  uint64_t position_ = 0;
  std::optional<cursor> last_;  // behind the last event that was pulled
  std::deque<event_ptr> backlog_;
  std::vector<event_ptr> scratch_;
  runtime::wheel_timer retry_;
  uint64_t asked_ = 0;  // generation: answers of earlier questions are dropped
  bool live_ = false;
  bool asking_ = false;
  bool ended_ = false;
  bool in_turn_ = false;
};

}  // namespace kgents::gateway
