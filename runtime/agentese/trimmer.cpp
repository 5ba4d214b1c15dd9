#include "runtime/agentese/trimmer.hpp"

#include "sql/agentese_events.hpp"

namespace kgents::runtime::agentese {

void trimmer::grew(tenant_id tenant, size_t marks) {
  grown_[tenant] += marks;
  arm();
}

void trimmer::stop() {
  stopped_ = true;
  timer_.cancel();
}

void trimmer::arm() {
  if (armed_ || stopped_ || grown_.empty())
    return;
  armed_ = true;
  timer_.expires_after(keep_.every);
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    if (auto self = weak.lock(); self != nullptr && !ec)
      self->round();
  });
}

void trimmer::round() {
  const bool all = ++rounds_ % limits::trim_all_rounds == 0;
  for (auto it = grown_.begin(); it != grown_.end();) {
    if (!all && it->second < keep_.after_marks) {
      ++it;
      continue;
    }
    due_.push_back(it->first);
    it = grown_.erase(it);
  }
  next();
}

void trimmer::next() {
  if (stopped_)
    return;
  if (due_.empty()) {
    armed_ = false;
    arm();
    return;
  }
  auto query = sql::agentese_events::trim(due_.front(), keep_.events, keep_.age, limits::trim_rows);
  query.work.about = due_.front();
  sql::run(control_, std::move(query), [weak = weak_from_this()](sql::answer<int64_t> out) {
    const auto self = weak.lock();
    if (self == nullptr)
      return;
    const auto* dropped = std::get_if<int64_t>(&out);
    if (dropped == nullptr)  // in a later round
      self->grown_[self->due_.front()] += self->keep_.after_marks;
    if (dropped == nullptr || *dropped < static_cast<int64_t>(limits::trim_rows))
      self->due_.pop_front();
    self->next();
  });
}

}  // namespace kgents::runtime::agentese
