// A session's messages: stored, queued, and taken over from an activation that is gone.

#include <algorithm>

#include "tests/sim/session.hpp"
#include "tests/sim/world.hpp"

namespace kgents::sim {

void session::send_message(turn_id turn, answerer done) {
  if (turn.value.is_nil()) {  // only to have it in memory
    when_ready(std::move(done), [](answerer answer) { answer({200, {}}); });
    return;
  }
  when_ready(std::move(done), [this, turn](answerer answer) {
    beginnings_.push_back([this, turn, answer] {
      using begun = database::begun;
      home_.query<begun>(
          [&all = home_.all, which = which_, turn, lease = under_lease(), me = home_.number()] {
            return std::optional{all.db.begin_turn(which, turn, lease, me)};
          },
          mine([this, turn, answer](std::optional<begun> out) {
            if (!out) {
              // It may be stored. No other is, until we know: turns run in the order of PostgreSQL.
              answer({503, {}});
              looking_ = true;
              later([this] { look_again(); });
              return;
            }
            if (*out == begun::fenced) {
              fenced();
              return;
            }
            answer({*out == begun::full ? 429 : 200, {}});
            if (*out == begun::joined && !knows(turn)) {
              look_again();  // stored for an activation that is gone
              return;
            }
            const bool idle = !running_ && waiting_.empty() && !claiming_;
            if (*out == begun::queued && idle) {
              look_again();  // behind one that nobody here knows
              return;
            }
            beginning_ = false;
            if (*out == begun::started || *out == begun::queued) {
              turn_state fresh;
              fresh.id = turn;
              if (*out == begun::started && idle) {
                running_ = std::move(fresh);
                run();
              } else {
                waiting_.push_back(std::move(fresh));
                run_next();
              }
            }
            begin_next();
          }));
    });
    begin_next();
  });
}

void session::begin_next() {
  if (beginning_ || beginnings_.empty())
    return;
  beginning_ = true;
  auto work = std::move(beginnings_.front());
  beginnings_.pop_front();
  work();
}

bool session::knows(turn_id turn) const {
  const auto same = [&](const turn_state& x) { return x.id == turn; };
  return (running_ && same(*running_)) || std::any_of(waiting_.begin(), waiting_.end(), same);
}

void session::take_over(const std::vector<turn_row>& found) {
  for (const auto& x : found) {
    if (knows(x.id) || adopt(x))
      continue;
    turn_state fresh;
    fresh.id = x.id;
    fresh.epoch = x.epoch;
    fresh.answer = x.durable();
    waiting_.push_back(std::move(fresh));
  }
  run_next();
}

/// In place of a beginning: what one of them has stored, and not heard of yet, is not taken for a
/// turn that nobody works on.
void session::look_again() {
  looking_ = true;
  home_.query<std::vector<turn_row>>(
      [&all = home_.all, which = which_] { return all.unfinished(which); },
      mine([this](std::optional<std::vector<turn_row>> found) {
        if (!found) {
          later([this] { look_again(); });
          return;
        }
        looking_ = beginning_ = false;
        take_over(*found);
        begin_next();
      }));
}

void session::run_next() {
  if (running_ || claiming_ || waiting_.empty() || leaving_)
    return;
  claiming_ = true;
  using claimed = database::claimed;
  home_.query<claimed>(
      [&all = home_.all, which = which_, turn = waiting_.front().id, lease = under_lease(),
       me = home_.number()]() -> std::optional<claimed> {
        const auto* row = all.db.sessions[which].find(turn);
        if (row && row->batches > 0)
          return std::nullopt;  // waits for a batch of chunks that holds the turn
        return all.db.claim_turn(which, turn, lease, me);
      },
      mine([this](std::optional<claimed> out) {
        claiming_ = false;
        if (!out) {
          later([this] { run_next(); });
          return;
        }
        if (out->fenced) {
          fenced();
          return;
        }
        if (out->epoch) {
          running_ = std::move(waiting_.front());
          running_->epoch = *out->epoch;
          if (!home_.all.broken("prefix-before-claim"))
            running_->answer = std::move(out->durable);
          waiting_.pop_front();
          run();
        } else {
          claiming_ = true;
          ended_unseen();
        }
      }));
}

/// The turn that was to be claimed has ended, and its end was not shown here: every reader finds
/// its place anew.
void session::ended_unseen() {
  home_.query<cursor>([&all = home_.all, which = which_] { return history_end(all, which); },
                      mine([this](std::optional<cursor> last) {
                        if (!last) {
                          later([this] { ended_unseen(); });
                          return;
                        }
                        home_.all.say("session " + std::to_string(which_) +
                                      " passes over a turn that ended unseen");
                        claiming_ = false;
                        waiting_.pop_front();
                        ++passed_over_;
                        if (log_->begin_anew(lease_))
                          home_.readers->notify(log_);
                        log_->begin_behind(*last);
                        place_held_readers();
                        run_next();
                      }));
}

}  // namespace kgents::sim
