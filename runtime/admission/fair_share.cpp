#include "runtime/admission/fair_share.hpp"

#include <algorithm>

namespace kgents::runtime {

uint32_t weight_of(std::string_view tier) noexcept {
  constexpr std::string_view ranks[] = {"free", "starter", "pro", "team", "enterprise", "custom"};
  const auto* at = std::find(std::begin(ranks), std::end(ranks), tier);
  return at == std::end(ranks) ? 1 : static_cast<uint32_t>(at - std::begin(ranks)) + 1;
}

void fair_share::place::release() noexcept {
  if (of_ == nullptr)
    return;
  who_->in_flight.fetch_sub(1, std::memory_order_relaxed);
  of_->in_flight_.fetch_sub(1, std::memory_order_relaxed);
  of_ = nullptr;
  who_.reset();
}

uint32_t fair_share::active_weight(tenant& who, uint32_t weight, int64_t second) {
  if (auto was = second_.load(std::memory_order_relaxed);
      was != second && second_.compare_exchange_strong(was, second)) {
    const auto ended = this_second_.exchange(0);
    last_second_ = was + 1 == second ? ended : 0;
  }
  if (who.seen.load(std::memory_order_relaxed) != second && who.seen.exchange(second) != second)
    this_second_.fetch_add(weight, std::memory_order_relaxed);
  // Those of both seconds are mostly the same, so it is the larger sum and not both.
  return std::max({weight, this_second_.load(std::memory_order_relaxed),
                   last_second_.load(std::memory_order_relaxed)});
}

fair_share::place fair_share::enter(const std::shared_ptr<tenant>& who, uint32_t weight,
                                    std::chrono::steady_clock::time_point now) {
  const auto second =
      std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  const auto all = active_weight(*who, weight, second);
  const auto mine = who->in_flight.fetch_add(1, std::memory_order_relaxed);
  const auto total = in_flight_.fetch_add(1, std::memory_order_relaxed);
  place out{this, who};
  if (total < threshold_ || all == weight)
    return out;
  const auto share = std::max<uint64_t>(1, uint64_t{threshold_} * weight / all);
  if (mine < share)
    return out;
  return {};
}

}  // namespace kgents::runtime
