#include "runtime/session_reader.hpp"

#include <utility>

namespace kgents::runtime {

namespace {

/// After a refusal in mid-stream (the session restarts, PostgreSQL is away): asked again, for as
/// long as the client stays.
constexpr auto ask_again = std::chrono::milliseconds{250};

}  // namespace

session_reader::session_reader(hub& hub, port& port, entity_id session, options how)
    : hub_{hub}, port_{port}, session_{session}, how_{how}, last_{how.from} {
  retry_.on_fire([this] { find_place(); });
}

session_reader::~session_reader() { stop(); }

void session_reader::stop() {
  if (log_ != nullptr)
    hub_.unsubscribe(log_, *this);
  log_.reset();
  live_ = false;
  ended_ = true;
  retry_.disarm();
  ++asked_;
}

void session_reader::start(std::function<void(std::optional<refusal>)> done) {
  on_placed_ = std::move(done);
  find_place();
}

void session_reader::move_to(const cursor& place,
                             std::function<void(std::optional<refusal>)> done) {
  asking_ = true;
  attach_reader ask;
  ask.live = false;
  ask.place = place;
  port_.ask<attached>(
      session_, ask,
      [weak = weak_from_this(), generation = ++asked_, place, done](answer<attached> out) {
        auto self = weak.lock();
        if (self == nullptr || self->asked_ != generation)
          return;
        self->asking_ = false;
        if (!out.ok()) {
          done(std::move(out.wrong));  // and goes on where it was
          self->on_ready();
          return;
        }
        self->last_ = place;
        self->in_turn_ = false;
        self->on_placed_ = done;
        self->placed(std::move(out.value));
      },
      how_.only_here ? 0 : port::from_here);
}

void session_reader::find_place() {
  asking_ = true;
  attach_reader ask;
  ask.live = !last_;
  ask.place = last_.value_or(cursor{});
  ask.this_turn = how_.one_turn;
  port_.ask<attached>(
      session_, ask,
      [weak = weak_from_this(), generation = ++asked_](answer<attached> out) {
        auto self = weak.lock();
        if (self == nullptr || self->asked_ != generation)
          return;
        self->asking_ = false;
        if (out.ok()) {
          self->placed(std::move(out.value));
        } else if (auto done = std::exchange(self->on_placed_, nullptr)) {
          done(std::move(out.wrong));
        } else if (out.wrong.status == 404) {
          self->ended_ = true;  // removed while it was followed
          self->on_ready();
        } else {
          self->retry();
        }
      },
      how_.only_here ? 0 : port::from_here);
}

void session_reader::retry() { hub_.thread().wheel().arm(retry_, ask_again); }

void session_reader::placed(attached here) {
  // Subscribed before the place is looked at again: what is shown in between wakes us.
  follow(here.log);
  backlog_.assign(here.backlog.begin(), here.backlog.end());
  live_ = backlog_.empty();
  position_ = here.position;
  if (last_) {
    anchor_ = last_;
  } else if (live_) {
    // From now on it has a place, also when it hears nothing before its log is begun anew.
    last_ = anchor_ = log_->place_before(position_);
  } else {
    anchor_ = backlog_.front()->place();
    --anchor_->index;
  }
  if (auto done = std::exchange(on_placed_, nullptr))
    done(std::nullopt);
  on_ready();
}

void session_reader::follow(const log_ptr& log) {
  if (log_ == log)
    return;
  if (log_ != nullptr)
    hub_.unsubscribe(log_, *this);
  log_ = log;
  hub_.subscribe(log_, *this);
}

void session_reader::advanced() {
  // The first event after a live start: from now on there is a cursor, should the log leave us
  // behind.
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

bool session_reader::wanted(const stream_event& x) const {
  return !how_.one_turn || x.place().turn == how_.from->turn;
}

bool session_reader::seen(const stream_event& x) const {
  return last_ && x.kind() != event_kind::gap && x.place().turn == last_->turn &&
         x.place().index <= last_->index;
}

bool session_reader::hole_before(const stream_event& x) const {
  if (!last_ || x.kind() == event_kind::gap)
    return false;
  if (x.place().turn == last_->turn)
    return x.place().index != last_->index + 1;
  return in_turn_ || x.place().index != cursor::turn_event;
}

void session_reader::pull(std::vector<event_ptr>& out, size_t max) {
  while (!ended_ && out.size() < max) {
    scratch_.clear();
    if (!backlog_.empty()) {
      scratch_.push_back(std::move(backlog_.front()));
      backlog_.pop_front();
    } else if (!live_) {
      if (!asking_ && !retry_.armed())
        find_place();
      return;
    } else if (!log_->read(position_, scratch_, max - out.size())) {
      live_ = false;  // fell behind what the log holds: the rest comes from PostgreSQL
      continue;
    } else if (scratch_.empty()) {
      ended_ = log_->closed();
      return;
    }
    for (auto& x : scratch_) {
      if (!wanted(*x) || seen(*x))
        continue;
      if (hole_before(*x)) {
        // Never silently: what is missing is asked for.
        live_ = false;
        backlog_.clear();
        if (!asking_ && !retry_.armed())
          retry();
        return;
      }
      last_ = x->place();
      const bool last = x->kind() == event_kind::complete || x->kind() == event_kind::error;
      in_turn_ = !last;
      out.push_back(std::move(x));
      if (last && how_.one_turn) {
        ended_ = true;
        return;
      }
    }
  }
}

}  // namespace kgents::runtime
