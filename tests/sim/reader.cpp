#include "tests/sim/reader.hpp"

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time ask_again = 250ms;

}  // namespace

void reader::start(std::function<void(int)> placed) {
  on_placed_ = std::move(placed);
  find_place();
}

void reader::stop() {
  if (log_)
    home_.readers->unsubscribe(log_, *this);
  log_.reset();
  live_ = false;
  ended_ = true;
  ++asked_;
}

void reader::find_place() {
  asking_ = true;
  attach_question ask{!last_, last_.value_or(cursor{})};
  home_.port->ask(
      which_, ask,
      [weak = weak_from_this(), generation = ++asked_](reply out) {
        const auto self = weak.lock();
        if (!self || self->asked_ != generation)
          return;
        self->asking_ = false;
        if (out.status == 200)
          self->placed(std::move(out.here));
        else if (auto done = std::exchange(self->on_placed_, nullptr))
          done(out.status);
        else
          self->retry();
      },
      only_here_ ? 0 : port::from_here);
}

void reader::retry() {
  if (std::exchange(retrying_, true))
    return;
  home_.after(ask_again, [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && !self->ended_) {
      self->retrying_ = false;
      self->find_place();
    }
  });
}

void reader::placed(attached here) {
  if (log_ != here.log) {
    if (log_)
      home_.readers->unsubscribe(log_, *this);
    log_ = here.log;
    home_.readers->subscribe(log_, shared_from_this());
  }
  backlog_.assign(here.backlog.begin(), here.backlog.end());
  live_ = backlog_.empty();
  position_ = here.position;
  if (last_) {
    anchor_ = last_;
  } else if (live_) {
    last_ = anchor_ = log_->place_before(position_);
  } else {
    anchor_ = backlog_.front()->place();
    --anchor_->index;
  }
  if (auto done = std::exchange(on_placed_, nullptr))
    done(200);
  on_ready();
}

void reader::advanced() {
  if (live_ && !last_) {
    auto peek = position_;
    scratch_.clear();
    if (log_->read(peek, scratch_, 1) && !scratch_.empty()) {
      last_ = scratch_.front()->place();
      --last_->index;
    }
    scratch_.clear();
  }
  on_ready();
}

bool reader::seen(const stream_event& x) const {
  return last_ && x.place().turn == last_->turn && x.place().index <= last_->index;
}

bool reader::hole_before(const stream_event& x) const {
  if (!last_)
    return false;
  if (x.place().turn == last_->turn)
    return x.place().index != last_->index + 1;
  return in_turn_ || x.place().index != cursor::turn_event;
}

void reader::pull(std::vector<event_ptr>& out, size_t max) {
  while (!ended_ && out.size() < max) {
    scratch_.clear();
    if (!backlog_.empty()) {
      scratch_.push_back(std::move(backlog_.front()));
      backlog_.pop_front();
    } else if (!live_) {
      if (!asking_ && !retrying_)
        find_place();
      return;
    } else if (!log_->read(position_, scratch_, max - out.size())) {
      live_ = false;
      continue;
    } else if (scratch_.empty()) {
      return;
    }
    for (auto& x : scratch_) {
      if (seen(*x))
        continue;
      if (hole_before(*x)) {
        live_ = false;
        backlog_.clear();
        if (!asking_)
          retry();
        return;
      }
      last_ = x->place();
      in_turn_ = x->kind() != event_kind::complete && x->kind() != event_kind::error;
      out.push_back(std::move(x));
    }
  }
}

void readers::subscribe(const runtime::log_ptr& log, const std::shared_ptr<reader>& x) {
  by_log_[log.get()].push_back(x);
  log->hubs = 1;
}

void readers::unsubscribe(const runtime::log_ptr& log, const reader& x) {
  const auto at = by_log_.find(log.get());
  if (at == by_log_.end())
    return;
  // Also on its way out, when nothing locks it any more.
  std::erase_if(at->second, [&](const std::weak_ptr<reader>& y) {
    const auto other = y.lock();
    return !other || other.get() == &x;
  });
  if (at->second.empty()) {
    log->hubs = 0;
    by_log_.erase(at);
  }
}

void readers::notify(const runtime::log_ptr& log) {
  if (!by_log_.contains(log.get()) || !waking_.insert(log.get()).second)
    return;
  home_.after(20us, [this, log] {
    waking_.erase(log.get());
    const auto at = by_log_.find(log.get());
    if (at == by_log_.end())
      return;
    for (const auto& weak : std::vector(at->second))
      if (const auto x = weak.lock())
        x->advanced();
  });
}

}  // namespace kgents::sim
