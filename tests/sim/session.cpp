#include "tests/sim/session.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr uint32_t credit_chunks =
    8; // 64 in production: less makes more of it happen
constexpr uint64_t trim_running = 12; // 160
constexpr uint64_t keep_running = 6;  // 64
constexpr size_t keep_bytes = 3000;   // 1 MiB
constexpr sim_time retry = 250ms;
constexpr sim_time look_every = 2ms;
constexpr sim_time passivate_after = 4s;

turn_end end_of(const std::vector<std::string> &answer) {
  turn_end out;
  for (const auto &x : answer)
    out.text += x;
  return out;
}

} // namespace

session::session(process &home, size_t which, lease_epoch lease)
    : home_{home}, which_{which}, lease_{lease}, log_{home.logs->open(
                                                     home.all.entity(which))} {}

template <class F> auto session::mine(F work) {
  return [weak = weak_from_this(),
          work = std::move(work)]<class... X>(X &&...x) mutable {
    if (const auto self = weak.lock(); self && !self->over_)
      work(std::forward<X>(x)...);
  };
}

fence session::under_lease() const { return {home_.all.shard(which_), lease_}; }

void session::later(std::function<void()> work) {
  ++later_;
  home_.after(retry, mine([this, work = std::move(work)] {
                --later_;
                work();
              }));
}

void session::start() {
  home_.all.say("session " + std::to_string(which_) + " lives on " +
                home_.name() + " under epoch " + std::to_string(lease_));
  if (!log_->begin(lease_, {}, runtime::session_log::start::anywhere)) {
    fenced();
    return;
  }
  home_.readers->notify(log_);
  last_use_ = home_.now();
  idle();
  load();
}

void session::idle() {
  home_.after(1s, mine([this] {
                const bool busy = running_ || !waiting_.empty() || beginning_ ||
                                  claiming_ || looking_ || replays_ > 0 ||
                                  phase_ != phase::ready;
                if (!busy && !leaving_ &&
                    home_.now() - last_use_ >= passivate_after &&
                    home_.retire(*this))
                  over_ = true;
                else
                  idle();
              }));
}

/// First what is unfinished, then where the history ends: a turn whose end is
/// committed in between is then in both, and never in neither.
void session::load() {
  if (home_.all.broken("history-first")) {
    read_history_end([this](cursor last) {
      read_unfinished([this, last](std::vector<turn_row> found) {
        loaded(last, std::move(found));
      });
    });
    return;
  }
  read_unfinished([this](std::vector<turn_row> found) {
    read_history_end(
        [this, found = std::move(found)](cursor last) { loaded(last, found); });
  });
}

void session::read_unfinished(std::function<void(std::vector<turn_row>)> done) {
  home_.query<std::vector<turn_row>>(
      [&all = home_.all, which = which_] { return all.unfinished(which); },
      mine([this, done = std::move(done)](
               std::optional<std::vector<turn_row>> found) {
        if (found)
          done(std::move(*found));
        else
          gone();
      }));
}

std::optional<cursor> session::history_end(const world &all, size_t which) {
  cursor last;
  for (const auto &x : all.db.sessions[which].turns)
    if (x.ended())
      last = cursor{x.id, x.epoch, static_cast<int64_t>(x.answer.size())};
  return last;
}

void session::read_history_end(std::function<void(cursor)> done) {
  home_.query<cursor>(
      [&all = home_.all, which = which_] { return history_end(all, which); },
      mine([this, done = std::move(done)](std::optional<cursor> last) {
        if (last)
          done(*last);
        else
          gone();
      }));
}

void session::loaded(const cursor &last, std::vector<turn_row> found) {
  std::erase_if(found, [&](const turn_row &x) { return x.id == last.turn; });
  // The turn that the log breaks off in has ended, and nobody here was told.
  const auto open = log_->open_turn();
  const bool goes_on =
      !open || std::any_of(found.begin(), found.end(),
                           [&](const turn_row &x) { return x.id == *open; });
  if (!goes_on && !home_.all.broken("log-with-a-hole") &&
      log_->begin_anew(lease_))
    home_.readers->notify(log_);
  log_->begin_behind(last);
  phase_ = phase::ready;
  arrived_ = home_.arrived(which_);
  take_over(found);
  arrived_.reset();
  for (auto &[done, work] : std::exchange(held_, {}))
    work(std::move(done));
}

void session::gone() {
  phase_ = phase::missing;
  for (auto &[done, work] : std::exchange(held_, {}))
    done({503, {}});
  later([this] {
    if (home_.retire(*this))
      over_ = true;
    else
      gone();
  });
}

void session::when_ready(answerer done, std::function<void(answerer)> work) {
  last_use_ = home_.now();
  switch (phase_) {
  case phase::ready:
    work(std::move(done));
    break;
  case phase::loading:
    held_.emplace_back(std::move(done), std::move(work));
    break;
  case phase::missing:
    done({503, {}});
  }
}

void session::fenced() {
  over_ = true;
  home_.forget(*this, true);
}

void session::send_message(turn_id turn, answerer done) {
  if (turn.value.is_nil()) { // only to have it in memory
    when_ready(std::move(done), [](answerer answer) { answer({200, {}}); });
    return;
  }
  when_ready(std::move(done), [this, turn](answerer answer) {
    beginnings_.push_back([this, turn, answer] {
      using begun = database::begun;
      home_.query<begun>(
          [&all = home_.all, which = which_, turn, lease = under_lease(),
           me = home_.number()] {
            return std::optional{all.db.begin_turn(which, turn, lease, me)};
          },
          mine([this, turn, answer](std::optional<begun> out) {
            if (!out) {
              // It may be stored. No other is, until we know: turns run in the
              // order of PostgreSQL.
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
              look_again(); // stored for an activation that is gone
              return;
            }
            const bool idle = !running_ && waiting_.empty() && !claiming_;
            if (*out == begun::queued && idle) {
              look_again(); // behind one that nobody here knows
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
  const auto same = [&](const turn_state &x) { return x.id == turn; };
  return (running_ && same(*running_)) ||
         std::any_of(waiting_.begin(), waiting_.end(), same);
}

void session::take_over(const std::vector<turn_row> &found) {
  for (const auto &x : found) {
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

/// In place of a beginning: what one of them has stored, and not heard of yet,
/// is not taken for a turn that nobody works on.
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
      [&all = home_.all, which = which_, turn = waiting_.front().id,
       lease = under_lease(), me = home_.number()]() -> std::optional<claimed> {
        const auto *row = all.db.sessions[which].find(turn);
        if (row && row->batches > 0)
          return std::nullopt; // waits for a batch of chunks that holds the
                               // turn
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

/// The turn that was to be claimed has ended, and its end was not shown here:
/// every reader finds its place anew.
void session::ended_unseen() {
  home_.query<cursor>(
      [&all = home_.all, which = which_] { return history_end(all, which); },
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

void session::run() {
  last_use_ = home_.now();
  show_durable_part();
  place_held_readers();
  auto &turn = *running_;
  turn.worker = home_.turns->start(shared_from_this(), turn.id, turn.epoch,
                                   static_cast<uint32_t>(turn.answer.size()),
                                   home_.all.chunks_of(turn.id));
  grant();
}

void session::show_durable_part() {
  auto &turn = *running_;
  const auto shown = log_->shown_of(turn.id);
  if (shown.empty())
    log_->append_shown(
        make_turn_event(turn.id, turn.epoch, message_id{}, "reflect"), lease_);
  const size_t have =
      shown.empty() ? 0 : static_cast<size_t>(shown.back()->place().index + 1);
  for (size_t i = have; i < turn.answer.size(); ++i)
    log_->append_shown(make_chunk_event(turn.id, turn.epoch,
                                        static_cast<chunk_index>(i),
                                        turn.answer[i]),
                       lease_);
  if (have > turn.answer.size())
    throw violation("more of a turn was shown than is durable of it: session " +
                    std::to_string(which_) + " on " + home_.name() +
                    ", up to " + shown.back()->place().text() + ", durable " +
                    std::to_string(turn.answer.size()) + " of epoch " +
                    std::to_string(turn.epoch));
  turn.inherited = static_cast<uint32_t>(turn.answer.size());
  home_.readers->notify(log_);
}

void session::grant() {
  if (!running_ || running_->finished || !running_->worker ||
      running_->credit >= credit_chunks)
    return;
  // Once it was told to hold, what it is granted could reach it behind its next
  // home's words, and be lost.
  if (running_->hold_sent && !home_.all.broken("grant-while-held"))
    return;
  running_->worker->credit(credit_chunks - running_->credit);
  running_->credit = credit_chunks;
}

void session::add_chunks(const std::vector<std::string> &texts) {
  auto &turn = *running_;
  for (const auto &text : texts) {
    const auto index = static_cast<chunk_index>(turn.answer.size());
    turn.answer.push_back(text);
    log_->append_chunk(make_chunk_event(turn.id, turn.epoch, index, text),
                       false, lease_);
  }
  home_.writer->appended(log_);
  const auto held = log_->at();
  if (replays_ == 0 && held.shown > held.base + trim_running)
    log_->drop_before(held.shown - keep_running);
}

void session::chunks_arrived(turn_id id, lease_epoch epoch,
                             const std::vector<std::string> &texts) {
  if (!running_ || running_->id != id || running_->epoch != epoch ||
      running_->finished)
    return;
  running_->credit -=
      std::min(static_cast<uint32_t>(texts.size()), running_->credit);
  add_chunks(texts);
  if (running_->credit <= credit_chunks / 2 && !log_->want_commit())
    grant();
}

void session::turn_finished(turn_id id, lease_epoch epoch) {
  if (!running_ || running_->id != id || running_->epoch != epoch ||
      running_->finished)
    return;
  running_->finished = true;
  if (auto worker = std::exchange(running_->worker, nullptr))
    worker->stop();
  end_running();
}

void session::turn_held(turn_id id, lease_epoch epoch) {
  if (running_ && running_->id == id && running_->epoch == epoch &&
      running_->holds_open > 0)
    --running_->holds_open;
}

void session::worker_lost(turn_id id, lease_epoch epoch) {
  if (!running_ || running_->id != id || running_->epoch != epoch ||
      !running_->worker || running_->finished)
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
  if (!running_ || !running_->finished || running_->ending ||
      log_->want_commit())
    return;
  auto &turn = *running_;
  turn.ending = true;
  using outcome = database::end_outcome;
  home_.query<outcome>(
      [&all = home_.all, which = which_, id = turn.id, epoch = turn.epoch,
       answer = turn.answer, lease = under_lease(),
       me = home_.number()]() -> std::optional<outcome> {
        const auto *row = all.db.sessions[which].find(id);
        if (row && row->batches > 0)
          return std::nullopt;
        return all.db.end_turn(which, id, epoch, answer, lease, me);
      },
      mine([this](std::optional<outcome> out) {
        auto &turn = *running_;
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
              [&all = home_.all, which = which_,
               id = turn.id]() -> std::optional<turn_row> {
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
      make_complete_event(turn.id, turn.epoch,
                          static_cast<chunk_index>(turn.answer.size()),
                          end_of(turn.answer)),
      lease_);
  home_.readers->notify(log_);
  if (replays_ == 0 && log_->held_bytes() > keep_bytes)
    log_->drop_before(ended_before_);
  ended_before_ = log_->at().end;
  last_use_ = home_.now();
  run_next();
}

void session::leave(std::function<void(std::optional<moving_turn>)> done) {
  leaving_ = std::move(done);
  try_to_leave();
}

bool session::quiet() {
  if (phase_ == phase::missing)
    return true;
  if (phase_ == phase::loading || beginning_ || !beginnings_.empty() ||
      claiming_ || looking_ || replays_ > 0 || !when_running_.empty() ||
      later_ > 0)
    return false;
  if (!running_)
    return true;
  auto &turn = *running_;
  if (!turn.worker || turn.finished || turn.reclaim)
    return false;
  if (!std::exchange(turn.hold_sent, true)) {
    turn.worker->hold();
    ++turn.holds_open;
  }
  // Each hold is answered, in order: an answer to an earlier one says nothing
  // of what came since.
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
    auto &turn = *running_;
    out = moving_turn{
        which_,      turn.id,
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
  if (running_ && running_->worker &&
      std::exchange(running_->hold_sent, false)) {
    running_->worker->resume();
    grant();
  }
  run_next();
}

bool session::adopt(const turn_row &found) {
  if (!arrived_ || running_ || arrived_->turn != found.id ||
      arrived_->epoch != found.epoch || found.status != turn_status::running)
    return false;
  auto worker = home_.turns->adopt(arrived_->worker, found.id, found.epoch,
                                   shared_from_this());
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

void session::attach(const attach_question &ask, answerer done) {
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
      throw violation("what a reader has seen was lost: chunk " +
                      std::to_string(ask.place.index) + " of epoch " +
                      std::to_string(ask.place.epoch));
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
    for (const auto &x : waiting_)
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
        [&all = home_.all, which = which_,
         turn = ask.place.turn]() -> std::optional<size_t> {
          const auto &rows = all.db.sessions[which].turns;
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
  for (auto &work : std::exchange(when_running_, {}))
    work();
}

void session::append_running(std::vector<event_ptr> &out, int64_t after) const {
  const auto &turn = *running_;
  const auto until = log_->held_from(turn.id).value_or(0);
  if (after < cursor::turn_event)
    out.push_back(
        make_turn_event(turn.id, turn.epoch, message_id{}, "reflect"));
  for (int64_t i = std::max<int64_t>(after + 1, 0); i < until; ++i)
    out.push_back(make_chunk_event(turn.id, turn.epoch,
                                   static_cast<chunk_index>(i),
                                   turn.answer[static_cast<size_t>(i)]));
}

void session::replay(const attach_question &ask, size_t from, answerer answer) {
  ++replays_;
  home_.query<std::vector<turn_row>>(
      [&all = home_.all, which = which_,
       from]() -> std::optional<std::vector<turn_row>> {
        std::vector<turn_row> out;
        const auto &rows = all.db.sessions[which].turns;
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
        for (const auto &row : *rows) {
          const bool first = row.id == ask.place.turn;
          if (const auto held =
                  first ? log_->behind(ask.place) : log_->first_of(row.id)) {
            here.position = *held;
            break;
          }
          if (!row.ended()) {
            if (running_ && running_->id == row.id &&
                log_->held_from(row.id) > cursor::turn_event)
              append_running(here.backlog,
                             first ? ask.place.index : cursor::before_turn);
            break;
          }
          if (first && ask.place.epoch < row.epoch &&
              ask.place.index >= static_cast<int64_t>(row.inherited) &&
              ask.place.index < static_cast<int64_t>(row.answer.size()))
            throw violation("what a reader has seen was lost: chunk " +
                            std::to_string(ask.place.index));
          const auto after = first ? ask.place.index : cursor::before_turn;
          if (after < cursor::turn_event)
            here.backlog.push_back(
                make_turn_event(row.id, row.epoch, message_id{}, "reflect"));
          for (size_t i = 0; i < row.answer.size(); ++i)
            if (after < static_cast<int64_t>(i))
              here.backlog.push_back(
                  make_chunk_event(row.id, row.epoch,
                                   static_cast<chunk_index>(i), row.answer[i]));
          if (after < static_cast<int64_t>(row.answer.size()))
            here.backlog.push_back(make_complete_event(
                row.id, row.epoch, static_cast<chunk_index>(row.answer.size()),
                end_of(row.answer)));
        }
        answer({200, std::move(here)});
      }));
}

} // namespace kgents::sim
