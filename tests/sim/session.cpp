#include "tests/sim/session.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time retry = 250ms;
constexpr sim_time passivate_after = 4s;

}  // namespace

session::session(process& home, size_t which, lease_epoch lease)
    : home_{home}, which_{which}, lease_{lease}, log_{home.logs->open(home.all.entity(which))} {}

fence session::under_lease() const { return {home_.all.shard(which_), lease_}; }

void session::later(std::function<void()> work) {
  ++later_;
  home_.after(retry, mine([this, work = std::move(work)] {
                --later_;
                work();
              }));
}

void session::start() {
  home_.all.say("session " + std::to_string(which_) + " lives on " + home_.name() +
                " under epoch " + std::to_string(lease_));
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
  home_.after(
      1s, mine([this] {
        const bool busy = running_ || !waiting_.empty() || beginning_ || claiming_ || looking_ ||
                          replays_ > 0 || phase_ != phase::ready;
        if (!busy && !leaving_ && home_.now() - last_use_ >= passivate_after && home_.retire(*this))
          over_ = true;
        else
          idle();
      }));
}

/// First what is unfinished, then where the history ends: a turn whose end is committed in between
/// is then in both, and never in neither.
void session::load() {
  if (home_.all.broken("history-first")) {
    read_history_end([this](cursor last) {
      read_unfinished(
          [this, last](std::vector<turn_row> found) { loaded(last, std::move(found)); });
    });
    return;
  }
  read_unfinished([this](std::vector<turn_row> found) {
    read_history_end([this, found = std::move(found)](cursor last) { loaded(last, found); });
  });
}

void session::read_unfinished(std::function<void(std::vector<turn_row>)> done) {
  home_.query<std::vector<turn_row>>(
      [&all = home_.all, which = which_] { return all.unfinished(which); },
      mine([this, done = std::move(done)](std::optional<std::vector<turn_row>> found) {
        if (found)
          done(std::move(*found));
        else
          gone();
      }));
}

std::optional<cursor> session::history_end(const world& all, size_t which) {
  cursor last;
  for (const auto& x : all.db.sessions[which].turns)
    if (x.ended())
      last = cursor{x.id, x.epoch, static_cast<int64_t>(x.answer.size())};
  return last;
}

void session::read_history_end(std::function<void(cursor)> done) {
  home_.query<cursor>([&all = home_.all, which = which_] { return history_end(all, which); },
                      mine([this, done = std::move(done)](std::optional<cursor> last) {
                        if (last)
                          done(*last);
                        else
                          gone();
                      }));
}

void session::loaded(const cursor& last, std::vector<turn_row> found) {
  std::erase_if(found, [&](const turn_row& x) { return x.id == last.turn; });
  // The turn that the log breaks off in has ended, and nobody here was told.
  const auto open = log_->open_turn();
  const bool goes_on = !open || std::any_of(found.begin(), found.end(),
                                            [&](const turn_row& x) { return x.id == *open; });
  if (!goes_on && !home_.all.broken("log-with-a-hole") && log_->begin_anew(lease_))
    home_.readers->notify(log_);
  log_->begin_behind(last);
  phase_ = phase::ready;
  arrived_ = home_.arrived(which_);
  take_over(found);
  arrived_.reset();
  for (auto& [done, work] : std::exchange(held_, {}))
    work(std::move(done));
}

void session::gone() {
  phase_ = phase::missing;
  for (auto& [done, work] : std::exchange(held_, {}))
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

}  // namespace kgents::sim
