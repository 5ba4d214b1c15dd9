#include "runtime/session_log.hpp"

#include <algorithm>
#include <utility>

namespace kgents::runtime {

session_log::~session_log() { count_uncommitted(0); }

void session_log::count_uncommitted(size_t now) {
  tally_ += now - uncommitted_bytes_;  // wraps around to a subtraction
  uncommitted_bytes_ = now;
}

session_log::bounds session_log::at() const {
  std::lock_guard guard{mutex_};
  return {base_, shown_, base_ + events_.size()};
}

bool session_log::begin(lease_epoch lease, caf::actor_addr owner, start where) {
  std::lock_guard guard{mutex_};
  if (lease < lease_)
    return false;
  forget_uncommitted();
  if (where == start::anywhere && lease_ != 0 && lease != lease_)
    forget_all();  // another owner may have gone on meanwhile
  lease_ = lease;
  owner_ = std::move(owner);
  return true;
}

bool session_log::outdate(lease_epoch lease) {
  std::lock_guard guard{mutex_};
  if (lease <= lease_)
    return false;
  forget_uncommitted();
  forget_all();
  lease_ = lease;
  owner_ = {};
  return true;
}

bool session_log::begin_anew(lease_epoch lease) {
  std::lock_guard guard{mutex_};
  if (lease != lease_)
    return false;
  forget_uncommitted();
  forget_all();
  return true;
}

/// No position of before means anything from now on.
void session_log::forget_all() {
  base_ += events_.size() + 1;
  boost::container::deque<event_ptr>{}.swap(events_);
  bytes_ = 0;
  shown_ = committed_ = taken_ = base_;
  anchor_.reset();
}

lease_epoch session_log::lease() const {
  std::lock_guard guard{mutex_};
  return lease_;
}

void session_log::append_chunk(event_ptr event, bool show_now, lease_epoch lease) {
  std::lock_guard guard{mutex_};
  if (lease != lease_)
    return;
  bytes_ += event->http_chunk().size();
  count_uncommitted(uncommitted_bytes_ + event->text.size());
  events_.push_back(std::move(event));
  if (show_now)
    shown_ = base_ + events_.size();
}

void session_log::append_shown(event_ptr event, lease_epoch lease) {
  std::lock_guard guard{mutex_};
  if (lease != lease_)
    return;
  bytes_ += event->http_chunk().size();
  events_.push_back(std::move(event));
  shown_ = committed_ = taken_ = base_ + events_.size();
}

void session_log::begin_behind(const cursor& place) {
  std::lock_guard guard{mutex_};
  if (events_.empty() && !anchor_)
    anchor_ = place;
}

const cursor* session_log::last_shown() const {
  if (shown_ > base_)
    return &events_[shown_ - base_ - 1]->place();
  return anchor_ ? &*anchor_ : nullptr;
}

std::optional<cursor> session_log::last_place() const {
  std::lock_guard guard{mutex_};
  const auto* last = last_shown();
  return last == nullptr ? std::nullopt : std::optional{*last};
}

std::optional<cursor> session_log::place_before(uint64_t position) const {
  std::lock_guard guard{mutex_};
  if (position > base_ && position <= base_ + events_.size())
    return events_[position - base_ - 1]->place();
  return position == base_ ? anchor_ : std::nullopt;
}

std::optional<turn_id> session_log::open_turn() const {
  std::lock_guard guard{mutex_};
  if (shown_ == base_)
    return std::nullopt;
  const auto& last = *events_[shown_ - base_ - 1];
  if (last.kind() == event_kind::complete || last.kind() == event_kind::error)
    return std::nullopt;
  return last.place().turn;
}

bool session_log::read(uint64_t& position, std::vector<event_ptr>& out, size_t max) const {
  std::lock_guard guard{mutex_};
  if (position < base_)
    return false;
  const auto until = std::min<uint64_t>(shown_, position + max);
  for (; position < until; ++position)
    out.push_back(events_[position - base_]);
  return true;
}

std::optional<uint64_t> session_log::behind(const cursor& place) const {
  std::lock_guard guard{mutex_};
  if (anchor_ && anchor_->turn == place.turn && anchor_->index == place.index)
    return base_;
  std::optional<uint64_t> found;
  for (size_t i = 0; i < events_.size(); ++i) {
    const auto& at = events_[i]->place();
    if (at.turn != place.turn) {
      if (found)
        break;
      continue;
    }
    // What the place follows was said anew, maybe otherwise (durability `memory`).
    if (events_[i]->kind() == event_kind::gap && at.epoch > place.epoch && at.index < place.index)
      return std::nullopt;
    if (!found && at.index > place.index + 1)
      return std::nullopt;  // some of what follows is held no more
    // The final event shares no index with a chunk: a turn of n chunks ends with index n.
    if (at.index <= place.index)
      found = base_ + i + 1;
    else
      return found.value_or(base_ + i);
  }
  return found;
}

std::optional<uint64_t> session_log::first_of(turn_id turn) const {
  std::lock_guard guard{mutex_};
  for (size_t i = 0; i < events_.size(); ++i)
    if (const auto& at = events_[i]->place(); at.turn == turn && at.index == cursor::turn_event)
      return base_ + i;
  return std::nullopt;
}

std::optional<int64_t> session_log::held_from(turn_id turn) const {
  std::lock_guard guard{mutex_};
  for (const auto& x : events_)
    if (x->place().turn == turn)
      return x->place().index;
  return std::nullopt;
}

std::vector<event_ptr> session_log::shown_of(turn_id turn) const {
  std::lock_guard guard{mutex_};
  std::vector<event_ptr> out;
  for (size_t i = 0; base_ + i < shown_; ++i)
    if (events_[i]->place().turn == turn)
      out.push_back(events_[i]);
  return out;
}

void session_log::drop_before(uint64_t position) {
  std::lock_guard guard{mutex_};
  const auto until = std::min({position, shown_, committed_});
  while (base_ < until) {
    bytes_ -= events_.front()->http_chunk().size();
    anchor_ = events_.front()->place();
    events_.pop_front();
    ++base_;
  }
  if (events_.empty())
    boost::container::deque<event_ptr>{}.swap(events_);  // an idle session keeps no buffer
}

void session_log::drop_uncommitted() {
  std::lock_guard guard{mutex_};
  forget_uncommitted();
}

void session_log::forget_uncommitted() {
  const auto keep = std::max(shown_, committed_);
  while (base_ + events_.size() > keep) {
    bytes_ -= events_.back()->http_chunk().size();
    events_.pop_back();
  }
  committed_ = taken_ = base_ + events_.size();
  ++take_;  // what is under way is of an activation that is gone
  wanted_ = 0;
  dirty_ = false;  // the writer may have let go of the log when that was refused
  count_uncommitted(0);
}

size_t session_log::held_bytes() const {
  std::lock_guard guard{mutex_};
  return bytes_;
}

session_log::uncommitted session_log::take(size_t max) {
  std::lock_guard guard{mutex_};
  uncommitted out;
  // Also when nothing can be taken now: the writer looks again when the commit under way returns,
  // and a mark that stayed would keep the next one from being heard.
  dirty_ = false;
  if (taken_ > committed_)
    return out;
  out.take = ++take_;
  out.lease = lease_;
  const auto until = std::min<uint64_t>(base_ + events_.size(), taken_ + max);
  for (; taken_ < until; ++taken_)
    out.chunks.push_back(events_[taken_ - base_]);
  return out;
}

caf::actor_addr session_log::committed(uint64_t take, bool show) {
  std::lock_guard guard{mutex_};
  if (take != take_)
    return {};
  size_t bytes = 0;
  for (; committed_ < taken_; ++committed_)
    bytes += events_[committed_ - base_]->text.size();
  count_uncommitted(uncommitted_bytes_ - bytes);
  if (show)
    shown_ = std::max(shown_, committed_);
  if (wanted_ == 0 || committed_ < wanted_)
    return {};
  wanted_ = 0;
  return owner_;
}

caf::actor_addr session_log::owner() const {
  std::lock_guard guard{mutex_};
  return owner_;
}

void session_log::failed(uint64_t take) {
  std::lock_guard guard{mutex_};
  if (take == take_)
    taken_ = committed_;
}

bool session_log::mark_dirty() {
  std::lock_guard guard{mutex_};
  return !std::exchange(dirty_, true);
}

bool session_log::want_commit() {
  std::lock_guard guard{mutex_};
  const auto end = base_ + events_.size();
  if (committed_ == end)
    return false;
  wanted_ = end;
  return true;
}

bool session_log::all_committed() const {
  std::lock_guard guard{mutex_};
  return committed_ == base_ + events_.size();
}

log_ptr session_logs::open(const entity_id& session) {
  auto& p = parts_[std::hash<entity_id>{}(session) % parts];
  std::lock_guard guard{p.mutex};
  if (p.logs.size() >= p.sweep_at) {
    std::erase_if(p.logs, [](const auto& x) { return x.second.expired(); });
    p.sweep_at = std::max<size_t>(64, 2 * p.logs.size());
  }
  auto& slot = p.logs[session];
  auto log = slot.lock();
  if (log == nullptr)
    slot = log = std::make_shared<session_log>(session, uncommitted_);
  return log;
}

std::vector<log_ptr> session_logs::read() const {
  std::vector<log_ptr> out;
  for (const auto& p : parts_) {
    std::lock_guard guard{p.mutex};
    for (const auto& [session, weak] : p.logs)
      if (auto log = weak.lock(); log != nullptr && log->hubs.load() != 0)
        out.push_back(std::move(log));
  }
  return out;
}

}  // namespace kgents::runtime
