// Where a session's readers go on.

#include <algorithm>

#include "tests/sim/session.hpp"
#include "tests/sim/world.hpp"

namespace kgents::sim {

void session::attach(const attach_question& ask, answerer done) {
  when_ready(std::move(done), [this, ask](answerer answer) {
    attached here;
    here.log = log_;
    if (ask.live) {
      here.position = log_->at().end;
      if (running_) {
        if (const auto start = log_->first_of(running_->id))
          here.position = *start;
        else
          append_running(here.backlog, cursor::before_turn);
      }
      answer({200, std::move(here)});
      return;
    }
    const bool in_running = running_ && running_->id == ask.place.turn;
    if (in_running && ask.place.epoch < running_->epoch &&
        ask.place.index >= static_cast<int64_t>(running_->inherited))
      throw violation("what a reader has seen was lost: chunk " + std::to_string(ask.place.index) +
                      " of epoch " + std::to_string(ask.place.epoch));
    if (const auto position = log_->behind(ask.place)) {
      here.position = *position;
      answer({200, std::move(here)});
      return;
    }
    if (in_running) {
      append_running(here.backlog, ask.place.index);
      answer({200, std::move(here)});
      return;
    }
    for (const auto& x : waiting_)
      if (x.id == ask.place.turn) {
        if (ask.place.index > cursor::before_turn) {
          when_running_.push_back([this, ask, answer] { attach(ask, answer); });
          return;
        }
        here.position = log_->at().end;
        answer({200, std::move(here)});
        return;
      }
    if (ask.place.turn.value.is_nil()) {
      replay(ask, 0, answer);
      return;
    }
    home_.query<size_t>(
        [&all = home_.all, which = which_, turn = ask.place.turn]() -> std::optional<size_t> {
          const auto& rows = all.db.sessions[which].turns;
          for (size_t i = 0; i < rows.size(); ++i)
            if (rows[i].id == turn)
              return i;
          throw violation("a reader's turn is unknown");
        },
        mine([this, ask, answer](std::optional<size_t> found) {
          if (found)
            replay(ask, *found, answer);
          else
            answer({503, {}});
        }));
  });
}

void session::place_held_readers() {
  for (auto& work : std::exchange(when_running_, {}))
    work();
}

void session::append_running(std::vector<event_ptr>& out, int64_t after) const {
  const auto& turn = *running_;
  const auto until = log_->held_from(turn.id).value_or(0);
  if (after < cursor::turn_event)
    out.push_back(make_turn_event(turn.id, turn.epoch, message_id{}, "reflect"));
  for (int64_t i = std::max<int64_t>(after + 1, 0); i < until; ++i)
    out.push_back(make_chunk_event(turn.id, turn.epoch, static_cast<chunk_index>(i),
                                   turn.answer[static_cast<size_t>(i)]));
}

void session::replay(const attach_question& ask, size_t from, answerer answer) {
  ++replays_;
  home_.query<std::vector<turn_row>>(
      [&all = home_.all, which = which_, from]() -> std::optional<std::vector<turn_row>> {
        std::vector<turn_row> out;
        const auto& rows = all.db.sessions[which].turns;
        for (size_t i = from; i < rows.size() && out.size() < 4; ++i)
          if (rows[i].status != turn_status::queued)
            out.push_back(rows[i]);
        return out;
      },
      mine([this, ask, from, answer,
            passed = passed_over_](std::optional<std::vector<turn_row>> rows) {
        --replays_;
        if (!rows) {
          answer({503, {}});
          return;
        }
        if (passed != passed_over_) {
          replay(ask, from, answer);
          return;
        }
        attached here;
        here.log = log_;
        here.position = log_->at().base;
        for (const auto& row : *rows) {
          const bool first = row.id == ask.place.turn;
          if (const auto held = first ? log_->behind(ask.place) : log_->first_of(row.id)) {
            here.position = *held;
            break;
          }
          if (!row.ended()) {
            if (running_ && running_->id == row.id && log_->held_from(row.id) > cursor::turn_event)
              append_running(here.backlog, first ? ask.place.index : cursor::before_turn);
            break;
          }
          if (first && ask.place.epoch < row.epoch &&
              ask.place.index >= static_cast<int64_t>(row.inherited) &&
              ask.place.index < static_cast<int64_t>(row.answer.size()))
            throw violation("what a reader has seen was lost: chunk " +
                            std::to_string(ask.place.index));
          const auto after = first ? ask.place.index : cursor::before_turn;
          if (after < cursor::turn_event)
            here.backlog.push_back(make_turn_event(row.id, row.epoch, message_id{}, "reflect"));
          for (size_t i = 0; i < row.answer.size(); ++i)
            if (after < static_cast<int64_t>(i))
              here.backlog.push_back(
                  make_chunk_event(row.id, row.epoch, static_cast<chunk_index>(i), row.answer[i]));
          if (after < static_cast<int64_t>(row.answer.size()))
            here.backlog.push_back(make_complete_event(row.id, row.epoch,
                                                       static_cast<chunk_index>(row.answer.size()),
                                                       end_of(row.answer)));
        }
        answer({200, std::move(here)});
      }));
}

}  // namespace kgents::sim
