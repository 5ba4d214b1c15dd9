#include "gateway/stream/live_keys.hpp"

#include <boost/asio/post.hpp>

namespace kgents::gateway {

std::shared_ptr<void> live_keys::watch(api_key_id key, runtime::io_thread& thread,
                                       std::function<void()> end) {
  auto fresh = std::make_shared<stream>(stream{thread, std::move(end)});
  std::lock_guard guard{state_->mutex};
  const auto place = state_->streams.emplace(key, fresh);
  auto* raw = fresh.get();
  return {raw, [state = state_, place, fresh = std::move(fresh)](void*) mutable {
            std::lock_guard inner{state->mutex};
            state->streams.erase(place);
            fresh.reset();
          }};
}

std::vector<api_key_id> live_keys::all() const {
  std::vector<api_key_id> out;
  std::lock_guard guard{state_->mutex};
  for (auto at = state_->streams.begin(); at != state_->streams.end();
       at = state_->streams.upper_bound(at->first))
    out.push_back(at->first);
  return out;
}

void live_keys::revoke(const std::vector<api_key_id>& keys) {
  std::lock_guard guard{state_->mutex};
  for (const auto& key : keys) {
    const auto [first, last] = state_->streams.equal_range(key);
    for (auto at = first; at != last; ++at)
      if (const auto x = at->second.lock())
        // Streams end on their own thread, so one that is there when this runs stays while it runs.
        boost::asio::post(x->thread.context(), [weak = at->second] {
          if (const auto still = weak.lock())
            still->end();
        });
  }
}

}  // namespace kgents::gateway
