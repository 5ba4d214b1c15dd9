#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/stream_event.hpp"
#include "runtime/session_log.hpp"
#include "tests/sim/database.hpp"

namespace kgents::sim {

class process;
class turn_handle;
struct world;

/// As runtime/handover.hpp has it.
struct moving_turn {
  size_t session = 0;
  turn_id turn;
  lease_epoch epoch = 0;
  node_id worker;
  uint32_t credit = 0;
  uint32_t inherited = 0;
};

/// Where a reader goes on: as runtime/attach.hpp has it.
struct attached {
  runtime::log_ptr log;
  uint64_t position = 0;
  std::vector<event_ptr> backlog;
};

struct reply {
  int status = 200;
  attached here;
};

struct attach_question {
  bool live = false;
  cursor place;
};

/// A session's entity on its owner, reduced to what moves, crashes and races: the steps and their
/// order are those of actors/session*.cpp.
class session : public std::enable_shared_from_this<session> {
public:
  using answerer = std::function<void(reply)>;

  session(process& home, size_t which, lease_epoch lease);
  void start();
  void stop() { over_ = true; }

  [[nodiscard]] size_t which() const { return which_; }
  [[nodiscard]] lease_epoch lease() const { return lease_; }
  [[nodiscard]] bool over() const { return over_; }

  void send_message(turn_id turn, answerer done);
  void attach(const attach_question& ask, answerer done);

  /// Leaves as soon as it is quiet; `done` is called when it is gone.
  void leave(std::function<void(std::optional<moving_turn>)> done);
  void stay();

  /// \name From its turn and its log.
  /// @{
  void chunks_arrived(turn_id turn, lease_epoch epoch, const std::vector<std::string>& texts);
  void turn_finished(turn_id turn, lease_epoch epoch);
  void turn_held(turn_id turn, lease_epoch epoch);
  void worker_lost(turn_id turn, lease_epoch epoch);
  void log_committed();
  void log_refused(turn_id turn, lease_epoch epoch);
  /// @}

  int in_flight = 0;  ///< permits that are out

private:
  struct turn_state {
    turn_id id;
    lease_epoch epoch = 1;
    std::vector<std::string> answer;
    uint32_t inherited = 0;
    std::shared_ptr<turn_handle> worker;
    node_id worker_node;
    uint32_t credit = 0;
    bool hold_sent = false;
    uint32_t holds_open = 0;  // not answered yet
    bool finished = false;
    bool ending = false;
    bool unsure = false;
    bool reclaim = false;
  };
  enum class phase : uint8_t { loading, ready, missing };

  void load();
  void read_unfinished(std::function<void(std::vector<turn_row>)> done);
  [[nodiscard]] static std::optional<cursor> history_end(const world& all, size_t which);
  void read_history_end(std::function<void(cursor)> done);
  void loaded(const cursor& last, std::vector<turn_row> found);
  void gone();
  void when_ready(answerer done, std::function<void(answerer)> work);
  void fenced();
  void quit();
  void begin_next();
  [[nodiscard]] bool knows(turn_id turn) const;
  void take_over(const std::vector<turn_row>& found);
  [[nodiscard]] bool adopt(const turn_row& found);
  void look_again();
  void run_next();
  void ended_unseen();
  void run();
  void show_durable_part();
  void grant();
  void add_chunks(const std::vector<std::string>& texts);
  void end_running();
  void show_end();
  void reclaim();
  [[nodiscard]] bool quiet();
  void try_to_leave();
  void place_held_readers();
  void append_running(std::vector<event_ptr>& out, int64_t after) const;
  void replay(const attach_question& ask, size_t from, answerer done);
  void idle();
  void later(std::function<void()> work);
  template <class F>
  auto mine(F work);  // not called once this activation is over
  [[nodiscard]] fence under_lease() const;

  process& home_;
  const size_t which_;
  const lease_epoch lease_;
  runtime::log_ptr log_;
  bool over_ = false;
  phase phase_ = phase::loading;
  std::vector<std::pair<answerer, std::function<void(answerer)>>> held_;
  std::deque<std::function<void()>> beginnings_;
  bool beginning_ = false, claiming_ = false, looking_ = false;
  int replays_ = 0;
  int passed_over_ = 0;
  int later_ = 0;
  std::deque<turn_state> waiting_;
  std::optional<turn_state> running_;
  std::vector<std::function<void()>> when_running_;
  std::function<void(std::optional<moving_turn>)> leaving_;
  std::optional<moving_turn> arrived_;
  uint64_t ended_before_ = 0;
  sim_time last_use_{};
};

template <class F>
auto session::mine(F work) {
  return [weak = weak_from_this(), work = std::move(work)]<class... X>(X&&... x) mutable {
    if (const auto self = weak.lock(); self && !self->over_)
      work(std::forward<X>(x)...);
  };
}

/// What the last event of a turn says.
[[nodiscard]] inline turn_end end_of(const std::vector<std::string>& answer) {
  turn_end out;
  for (const auto& x : answer)
    out.text += x;
  return out;
}

}  // namespace kgents::sim
