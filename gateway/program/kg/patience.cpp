#include "gateway/program/kg/patience.hpp"

#include <algorithm>

namespace kgents::kg {

std::optional<std::chrono::milliseconds> patience::next(clock::time_point now,
                                                        std::chrono::milliseconds asked) {
  using std::chrono::milliseconds;
  if (!since_)
    since_ = now;
  const auto left = std::chrono::ceil<milliseconds>(*since_ + limit_ - now);
  if (left <= milliseconds{0})
    return std::nullopt;
  const auto doubled = first_wait * (1u << std::min(tries_++, 10u));
  const auto most = std::min(doubled, longest_wait);
  std::uniform_int_distribution<int64_t> jitter{most.count() / 2, most.count()};
  return std::min(std::max(milliseconds{jitter(dice_)}, asked), left);
}

}  // namespace kgents::kg
