#include "runtime/idempotency/memory_store.hpp"

#include <utility>

namespace kgents::runtime::idempotency {

claimed memory_store::claim(std::string_view id, std::string token, time_point now,
                            std::chrono::milliseconds for_at_most) {
  if (const auto found = known_.find(id); found != known_.end()) {
    const auto& x = *found->second;
    if (now < x.until)
      return x.token.empty() ? claimed{claim_state::done, {}, x.answer}
                             : claimed{claim_state::in_progress, {}, {}};
    remove(found->second);
  }
  add({std::string{id}, token, {}, now + for_at_most});
  return {claim_state::fresh, std::move(token), {}};
}

void memory_store::complete(std::string_view id, std::string_view token, std::string answer,
                            time_point now, std::chrono::milliseconds keep) {
  if (const auto found = known_.find(id); found != known_.end()) {
    // Another's claim, or what it has done since. One that ran out and was not made again is still
    // ours.
    if (found->second->token != token)
      return;
    remove(found->second);
  }
  add({std::string{id}, {}, std::move(answer), now + keep});
}

void memory_store::release(std::string_view id, std::string_view token) {
  if (const auto found = known_.find(id); found != known_.end() && found->second->token == token)
    remove(found->second);
}

void memory_store::add(entry x) {
  bytes_ += size_of(x);
  order_.push_back(std::move(x));
  const auto at = std::prev(order_.end());
  known_.emplace(at->id, at);
  while (order_.size() > most_entries_ || (bytes_ > most_bytes_ && order_.size() > 1))
    remove(order_.begin());
}

void memory_store::remove(order::iterator at) {
  bytes_ -= size_of(*at);
  known_.erase(at->id);
  order_.erase(at);
}

}  // namespace kgents::runtime::idempotency
