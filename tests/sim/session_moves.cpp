// A session on its way to another node, and a turn whose model call is on another.

#include "tests/sim/session.hpp"
#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time look_every = 2ms;

}  // namespace

void session::turn_held(turn_id id, lease_epoch epoch) {
  if (running_ && running_->id == id && running_->epoch == epoch && running_->holds_open > 0)
    --running_->holds_open;
}

void session::worker_lost(turn_id id, lease_epoch epoch) {
  if (!running_ || running_->id != id || running_->epoch != epoch || !running_->worker ||
      running_->finished)
    return;
  if (!running_->worker_node)
    throw violation("a model call on the session's own node was lost");
  running_->worker = nullptr;
  running_->reclaim = true;
  if (!log_->want_commit())
    reclaim();
}

void session::reclaim() {
  auto turn = std::move(*running_);
  running_.reset();
  turn.reclaim = turn.hold_sent = false;
  turn.holds_open = 0;
  turn.worker_node = {};
  turn.credit = 0;
  waiting_.push_front(std::move(turn));
  run_next();
}

void session::leave(std::function<void(std::optional<moving_turn>)> done) {
  leaving_ = std::move(done);
  try_to_leave();
}

bool session::quiet() {
  if (phase_ == phase::missing)
    return true;
  if (phase_ == phase::loading || beginning_ || !beginnings_.empty() || claiming_ || looking_ ||
      replays_ > 0 || !when_running_.empty() || later_ > 0)
    return false;
  if (!running_)
    return true;
  auto& turn = *running_;
  if (!turn.worker || turn.finished || turn.reclaim)
    return false;
  if (!std::exchange(turn.hold_sent, true)) {
    turn.worker->hold();
    ++turn.holds_open;
  }
  // Each hold is answered, in order: an answer to an earlier one says nothing of what came since.
  return turn.holds_open == 0 && log_->all_committed();
}

void session::try_to_leave() {
  if (!leaving_)
    return;
  if (!quiet() || !home_.retire(*this)) {
    home_.after(look_every, mine([this] { try_to_leave(); }));
    return;
  }
  std::optional<moving_turn> out;
  if (running_) {
    auto& turn = *running_;
    out = moving_turn{which_,      turn.id,
                      turn.epoch,  turn.worker_node ? turn.worker_node : home_.self(),
                      turn.credit, turn.inherited};
    std::exchange(turn.worker, nullptr)->let_go();
  }
  over_ = true;
  home_.turns->session_over(*this);
  std::exchange(leaving_, nullptr)(out);
}

void session::stay() {
  if (!leaving_)
    return;
  std::exchange(leaving_, nullptr)(std::nullopt);
  if (running_ && running_->worker && std::exchange(running_->hold_sent, false)) {
    running_->worker->resume();
    grant();
  }
  run_next();
}

bool session::adopt(const turn_row& found) {
  if (!arrived_ || running_ || arrived_->turn != found.id || arrived_->epoch != found.epoch ||
      found.status != turn_status::running)
    return false;
  auto worker = home_.turns->adopt(arrived_->worker, found.id, found.epoch, shared_from_this());
  if (!worker)
    return false;
  turn_state turn;
  turn.id = found.id;
  turn.epoch = found.epoch;
  turn.answer = found.durable();
  turn.worker = std::move(worker);
  if (arrived_->worker != home_.self())
    turn.worker_node = arrived_->worker;
  turn.credit = arrived_->credit;
  running_ = std::move(turn);
  show_durable_part();
  running_->inherited = arrived_->inherited;
  place_held_readers();
  grant();
  return true;
}

}  // namespace kgents::sim
