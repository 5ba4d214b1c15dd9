#include "runtime/bus/dispatcher.hpp"

#include <algorithm>

namespace kgents::runtime::bus {

namespace {

bool at_half_open(const circuit_breaker& x) { return x.state() == breaker_state::half_open; }

}  // namespace

void dispatcher::offer(const lane_key& key, event x, time_point now) {
  x.made = now;
  auto [at, fresh] = lanes_.try_emplace(key);
  auto& to = at->second;
  if (fresh) {
    to.heard = heard_.insert(heard_.end(), key);
    ready_.push_back(key);
  } else {
    heard_.splice(heard_.end(), heard_, to.heard);
  }
  bytes_ += x.bytes();
  ++events_;
  to.events.push_back(std::move(x));
  if (to.events.size() > limits_.ring_events)
    drop_oldest(at);
  make_room();
}

/// The lanes that were silent longest pay for the bounds of all: their viewers have gone, likely. An
/// event under way stays, since its end must be told to the breaker; these are few.
void dispatcher::make_room() {
  const auto first = [this](auto fits) {
    for (const auto& key : heard_)
      if (const auto at = lanes_.find(key); fits(at->second))
        return at;
    return lanes_.end();
  };
  while (lanes_.size() > limits_.lanes) {
    const auto at = first([](const lane& x) { return x.token == 0; });
    if (at == lanes_.end())
      break;
    erase(at);
  }
  while (bytes_ > limits_.ring_bytes && events_ > 1) {
    const auto at = first([](const lane& x) { return x.token == 0 || x.events.size() > 1; });
    if (at == lanes_.end())
      break;
    drop_oldest(at);
  }
  if (ready_.size() <= 2 * limits_.lanes)
    return;
  ready_.clear();  // most are of lanes that are gone
  for (const auto& key : heard_)
    if (lanes_.find(key)->second.now == lane::state::ready)
      ready_.push_back(key);
}

void dispatcher::drop_oldest(lane_map::iterator at) {
  auto& x = at->second;
  const size_t which = x.token != 0 ? 1 : 0;  // not the one under way
  if (x.events.size() <= which) {
    erase(at);
    return;
  }
  auto gone = std::move(x.events[which]);
  x.events.erase(x.events.begin() + static_cast<std::ptrdiff_t>(which));
  bytes_ -= gone.bytes();
  --events_;
  ++dropped_;
  if (gone.done)
    gone.done(false);
  if (x.events.empty())
    erase(at);
}

void dispatcher::drop_front(lane& x, bool stored) {
  auto gone = std::move(x.events.front());
  x.events.pop_front();
  bytes_ -= gone.bytes();
  --events_;
  if (stored)
    ++stored_[gone.kind];
  else
    ++dropped_;
  if (gone.done)
    gone.done(stored);
}

void dispatcher::erase(lane_map::iterator at) {
  auto& x = at->second;
  if (x.token != 0)
    under_way_.erase(x.token);
  while (!x.events.empty())
    drop_front(x, false);
  heard_.erase(x.heard);
  lanes_.erase(at);
}

std::vector<dispatcher::attempt> dispatcher::due(time_point now) {
  std::vector<attempt> out;
  while (connected_ && !ready_.empty() && under_way_.size() < limits_.unacknowledged) {
    const auto key = ready_.front();
    const auto at = lanes_.find(key);
    if (at == lanes_.end() || at->second.now != lane::state::ready) {
      ready_.pop_front();
      continue;
    }
    auto& x = at->second;
    while (!x.events.empty() && now - x.events.front().made > limits_.keep)
      drop_front(x, false);
    if (x.events.empty()) {
      ready_.pop_front();
      erase(at);
      continue;
    }
    if (!breaker_.admits(now))
      break;
    ready_.pop_front();
    x.now = lane::state::under_way;
    x.token = ++last_token_;
    under_way_.emplace(x.token, flight{key, now + limits_.ack_deadline});
    out.push_back({x.token, &x.events.front()});
  }
  return out;
}

dispatcher::lane* dispatcher::landed(uint64_t token) {
  const auto flying = under_way_.find(token);
  if (flying == under_way_.end())
    return nullptr;
  auto& x = lanes_.find(flying->second.lane)->second;
  x.token = 0;
  under_way_.erase(flying);
  return &x;
}

/// The lane's head is done with.
void dispatcher::next(const lane_key& key, lane& x) {
  x.attempts = 0;
  x.now = lane::state::ready;
  if (x.events.empty())
    erase(lanes_.find(key));
  else
    ready_.push_back(key);
}

void dispatcher::stored(uint64_t token, time_point) {
  auto* x = landed(token);
  if (x == nullptr)
    return;
  breaker_.succeeded();
  failures_ = 0;
  const auto key = *x->heard;
  drop_front(*x, true);
  next(key, *x);
}

void dispatcher::rejected(uint64_t token, time_point) {
  auto* x = landed(token);
  if (x == nullptr)
    return;
  breaker_.succeeded();  // the broker is well: it has read the message
  ++failed_;
  const auto key = *x->heard;
  drop_front(*x, false);
  next(key, *x);
}

void dispatcher::failed(uint64_t token, time_point now) {
  auto* x = landed(token);
  if (x == nullptr)
    return;
  breaker_.failed(now);
  ++failures_;
  ++failed_;
  retry(*x->heard, *x, now);
}

void dispatcher::retry(const lane_key& key, lane& x, time_point now) {
  x.now = lane::state::delayed;
  delayed_.emplace(now + delay(++x.attempts), key);
}

std::chrono::nanoseconds dispatcher::delay(uint32_t attempts) const {
  auto out = limits_.retry_first;
  for (uint32_t i = 1; i < attempts && out < limits_.retry_most; ++i)
    out *= 2;
  return std::min(out, limits_.retry_most);
}

void dispatcher::connected(time_point) {
  connected_ = true;
  for (const auto& [at, key] : delayed_)
    if (const auto found = lanes_.find(key);
        found != lanes_.end() && found->second.now == lane::state::delayed) {
      found->second.now = lane::state::ready;
      found->second.attempts = 0;
      ready_.push_back(key);
    }
  delayed_.clear();
}

void dispatcher::disconnected(time_point now) {
  connected_ = false;
  if (!under_way_.empty() && at_half_open(breaker_))
    breaker_.failed(now);  // the probe has no other end
  for (const auto& [token, flying] : under_way_) {
    auto& x = lanes_.find(flying.lane)->second;
    x.token = 0;
    x.now = lane::state::ready;
    ready_.push_back(flying.lane);
  }
  under_way_.clear();
}

void dispatcher::tick(time_point now) {
  while (!under_way_.empty() && under_way_.begin()->second.deadline <= now)
    failed(under_way_.begin()->first, now);
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    const auto key = delayed_.begin()->second;
    delayed_.erase(delayed_.begin());
    if (const auto at = lanes_.find(key);
        at != lanes_.end() && at->second.now == lane::state::delayed) {
      at->second.now = lane::state::ready;
      ready_.push_back(key);
    }
  }
  // A lane whose newest event is too old is all too old; so these are at the front.
  while (!heard_.empty()) {
    const auto at = lanes_.find(heard_.front());
    if (now - at->second.events.back().made <= limits_.keep || at->second.token != 0)
      break;
    erase(at);
  }
}

void dispatcher::clear() {
  while (!lanes_.empty())
    erase(lanes_.begin());
  ready_.clear();
  delayed_.clear();
}

size_t dispatcher::waiting(const lane_key& key) const {
  const auto at = lanes_.find(key);
  if (at == lanes_.end())
    return 0;
  return at->second.events.size() - (at->second.token != 0 ? 1 : 0);
}

}  // namespace kgents::runtime::bus
