#include "actors/billing/delivery_limit.hpp"

#include <algorithm>
#include <cmath>

namespace kgents::billing {

uint32_t delivery_limit::take(std::string_view source, clock::time_point now) {
  constexpr double per_second = per_minute / 60;
  std::lock_guard guard{mutex_};
  auto at = all_.find(std::string{source});
  if (at == all_.end()) {
    if (all_.size() >= most_sources && now - swept_ >= std::chrono::seconds{1}) {
      swept_ = now;  // a flood pays for few sweeps
      std::erase_if(
          all_, [&](const auto& x) { return now - x.second.filled >= std::chrono::minutes{1}; });
    }
    if (all_.size() >= most_sources)
      all_.erase(all_.begin());
    at = all_.emplace(source, bucket{per_minute, now}).first;
  }
  auto& x = at->second;
  const std::chrono::duration<double> passed = now - x.filled;
  x.left = std::min(per_minute, x.left + per_second * passed.count());
  x.filled = now;
  if (x.left < 1)
    return std::max(1u, static_cast<uint32_t>(std::ceil((1 - x.left) / per_second)));
  x.left -= 1;
  return 0;
}

size_t delivery_limit::size() const {
  std::lock_guard guard{mutex_};
  return all_.size();
}

}  // namespace kgents::billing
