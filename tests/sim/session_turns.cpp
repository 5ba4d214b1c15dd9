// A session's running turn.

#include <algorithm>

#include "tests/sim/session.hpp"
#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr uint32_t credit_chunks = 8;  // 64 in production: less makes more of it happen
constexpr uint64_t trim_running = 12;  // 160
constexpr uint64_t keep_running = 6;   // 64
constexpr size_t keep_bytes = 3000;    // 1 MiB

}  // namespace

void session::run() {
  last_use_ = home_.now();
  show_durable_part();
  place_held_readers();
  auto& turn = *running_;
  turn.worker =
      home_.turns->start(shared_from_this(), turn.id, turn.epoch,
                         static_cast<uint32_t>(turn.answer.size()), home_.all.chunks_of(turn.id));
  grant();
}

void session::show_durable_part() {
  auto& turn = *running_;
  const auto shown = log_->shown_of(turn.id);
  if (shown.empty())
    log_->append_shown(make_turn_event(turn.id, turn.epoch, message_id{}, "reflect"), lease_);
  const size_t have = shown.empty() ? 0 : static_cast<size_t>(shown.back()->place().index + 1);
  for (size_t i = have; i < turn.answer.size(); ++i)
    log_->append_shown(
        make_chunk_event(turn.id, turn.epoch, static_cast<chunk_index>(i), turn.answer[i]), lease_);
  if (have > turn.answer.size())
    throw violation("more of a turn was shown than is durable of it: session " +
                    std::to_string(which_) + " on " + home_.name() + ", up to " +
                    shown.back()->place().text() + ", durable " +
                    std::to_string(turn.answer.size()) + " of epoch " + std::to_string(turn.epoch));
  turn.inherited = static_cast<uint32_t>(turn.answer.size());
  home_.readers->notify(log_);
}

void session::grant() {
  if (!running_ || running_->finished || !running_->worker || running_->credit >= credit_chunks)
    return;
  // Once it was told to hold, what it is granted could reach it behind its next home's words, and
  // be lost.
  if (running_->hold_sent && !home_.all.broken("grant-while-held"))
    return;
  running_->worker->credit(credit_chunks - running_->credit);
  running_->credit = credit_chunks;
}

void session::add_chunks(const std::vector<std::string>& texts) {
  auto& turn = *running_;
  for (const auto& text : texts) {
    const auto index = static_cast<chunk_index>(turn.answer.size());
    turn.answer.push_back(text);
    log_->append_chunk(make_chunk_event(turn.id, turn.epoch, index, text), false, lease_);
  }
  home_.writer->appended(log_);
  const auto held = log_->at();
  if (replays_ == 0 && held.shown > held.base + trim_running)
    log_->drop_before(held.shown - keep_running);
}

void session::chunks_arrived(turn_id id, lease_epoch epoch, const std::vector<std::string>& texts) {
  if (!running_ || running_->id != id || running_->epoch != epoch || running_->finished)
    return;
  running_->credit -= std::min(static_cast<uint32_t>(texts.size()), running_->credit);
  add_chunks(texts);
  if (running_->credit <= credit_chunks / 2 && !log_->want_commit())
    grant();
}

void session::turn_finished(turn_id id, lease_epoch epoch) {
  if (!running_ || running_->id != id || running_->epoch != epoch || running_->finished)
    return;
  running_->finished = true;
  if (auto worker = std::exchange(running_->worker, nullptr))
    worker->stop();
  end_running();
}

void session::log_committed() {
  if (!log_->want_commit()) {
    grant();
    if (running_ && running_->reclaim)
      reclaim();
    end_running();
  }
}

void session::log_refused(turn_id id, lease_epoch epoch) {
  if (running_ && running_->id == id && running_->epoch == epoch)
    fenced();
}

void session::end_running() {
  if (!running_ || !running_->finished || running_->ending || log_->want_commit())
    return;
  auto& turn = *running_;
  turn.ending = true;
  using outcome = database::end_outcome;
  home_.query<outcome>(
      [&all = home_.all, which = which_, id = turn.id, epoch = turn.epoch, answer = turn.answer,
       lease = under_lease(), me = home_.number()]() -> std::optional<outcome> {
        const auto* row = all.db.sessions[which].find(id);
        if (row && row->batches > 0)
          return std::nullopt;
        return all.db.end_turn(which, id, epoch, answer, lease, me);
      },
      mine([this](std::optional<outcome> out) {
        auto& turn = *running_;
        turn.ending = false;
        if (!out) {
          turn.unsure = true;
          later([this] { end_running(); });
        } else if (*out == outcome::ended) {
          show_end();
        } else if (*out == outcome::fenced || !turn.unsure) {
          fenced();
        } else {
          turn.ending = true;
          home_.query<turn_row>(
              [&all = home_.all, which = which_, id = turn.id]() -> std::optional<turn_row> {
                return *all.db.sessions[which].find(id);
              },
              mine([this](std::optional<turn_row> row) {
                running_->ending = false;
                if (!row)
                  later([this] { end_running(); });
                else if (row->epoch == running_->epoch && row->ended())
                  show_end();
                else
                  fenced();
              }));
        }
      }));
}

void session::show_end() {
  const auto turn = std::move(*running_);
  running_.reset();
  log_->append_shown(
      make_complete_event(turn.id, turn.epoch, static_cast<chunk_index>(turn.answer.size()),
                          end_of(turn.answer)),
      lease_);
  home_.readers->notify(log_);
  if (replays_ == 0 && log_->held_bytes() > keep_bytes)
    log_->drop_before(ended_before_);
  ended_before_ = log_->at().end;
  last_use_ = home_.now();
  run_next();
}

}  // namespace kgents::sim
