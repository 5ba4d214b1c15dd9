// A session on its way to another node: how it leaves, with its running turn, and how it arrives.

#include "actors/session.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

namespace {

/// How often a session that shall leave looks whether it is quiet: its readers wait meanwhile.
constexpr auto look_every = std::chrono::milliseconds{2};

}  // namespace

caf::result<runtime::departed> session::leave() {
  leaving_ = make_response_promise<runtime::departed>();
  try_to_leave();
  return *leaving_;
}

/// Nothing is under way whose outcome this activation must see. Nothing new comes, since the region
/// admits nobody.
bool session::quiet() {
  if (phase_ == phase::missing)
    return true;
  if (phase_ == phase::loading || beginning_ || !beginnings_.empty() || claiming_ || looking_ ||
      replays_ > 0 || !cancelers_.empty() || !when_running_.empty() || !later_.empty())
    return false;
  if (!running_ && !waiting_.empty() && waiting_.front().cancel) {
    run_next();
    return false;
  }
  if (!running_)
    return true;
  auto& turn = *running_;
  if (!turn.worker || turn.finished || turn.reclaim)
    return false;  // about to ask the model, or to end
  if (!std::exchange(turn.hold_sent, true)) {
    send(turn.worker, runtime::turn_hold{});
    ++turn.holds_open;
  }
  // Each hold is answered, in order: an answer to an earlier one says nothing of what was sent
  // since.
  return turn.holds_open == 0 && log_->all_committed();
}

void session::try_to_leave() {
  if (!leaving_)
    return;
  if (!quiet() || !services_->retire(id_, address())) {
    delayed_send(this, look_every, leave_check{});
    return;
  }
  runtime::departed out;
  if (running_) {
    auto& turn = *running_;
    out.has_turn = true;
    out.turn.session = id_;
    out.turn.turn = turn.id;
    out.turn.epoch = turn.epoch;
    out.turn.worker = turn.worker_node ? turn.worker_node : services_->self();
    out.turn.credit = turn.credit;
    out.turn.prompt_words = turn.prompt_words;
    out.turn.inherited = static_cast<uint32_t>(turn.inherited);
    out.turn.elapsed_ms = static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                              turn.began)
            .count());
    demonitor(turn.worker);
    send(turn.worker, runtime::turn_let_go{});
  }
  leaving_->deliver(out);
  quit();
}

/// The hand-off is off, and this session had not left yet.
void session::stay() {
  if (!leaving_)
    return;
  leaving_->deliver(caf::make_error(caf::sec::request_timeout));
  leaving_.reset();
  if (running_ && running_->worker && std::exchange(running_->hold_sent, false)) {
    send(running_->worker, runtime::turn_home{caf::actor_cast<caf::actor>(this)});
    if (!log_->want_commit())
      grant();
  }
  run_next();
}

/// The running turn that came with a hand-off goes on under its epoch: nothing is claimed and no
/// model is asked again.
bool session::adopt(sql::unfinished_turn& found) {
  if (!arrived_ || running_ || arrived_->turn != found.id || arrived_->epoch != found.epoch ||
      found.status != sql::turn_status::running)
    return false;
  auto worker = services_->adopt_turn(*arrived_, caf::actor_cast<caf::actor>(this));
  if (!worker)
    return false;
  running_ = std::make_unique<turn_state>(stored(found));
  auto& turn = *running_;
  turn.worker = std::move(worker);
  if (arrived_->worker != services_->self())
    turn.worker_node = arrived_->worker;
  turn.credit = arrived_->credit;
  turn.prompt_words = arrived_->prompt_words;
  turn.usage = usage_id{uuid::time_ordered()};
  turn.began =
      std::chrono::steady_clock::now() - std::chrono::milliseconds{arrived_->elapsed_ms};
  monitor(turn.worker);
  show_durable_part();
  turn.inherited = arrived_->inherited;
  place_held_readers();
  grant();
  return true;
}

void session::worker_lost() {
  auto& turn = *running_;
  if (!turn.worker_node) {
    // A model call that dies without a last word: its turn ends with an error, not with silence.
    finish({turn.id, turn.epoch, "", "internal", "The model call was lost.", "", 0, 0});
    return;
  }
  log::info("the node of a running model call is lost; asking for the rest of the answer",
            {{"session_id", id_.key.text()}, {"node", turn.worker_node.value}});
  turn.worker = nullptr;
  turn.reclaim = true;
  if (!log_->want_commit())
    reclaim();
}

/// All of the running turn is durable and nobody makes more of it: taken up as after a crash.
void session::reclaim() {
  auto turn = std::move(*running_);
  running_.reset();
  turn.reclaim = turn.hold_sent = false;
  turn.holds_open = 0;
  turn.worker_node = {};
  turn.credit = 0;
  turn.prompt_words = 0;
  waiting_.push_front(std::move(turn));
  run_next();
}

}  // namespace kgents::actors
