#include "runtime/gates.hpp"

#include <algorithm>

namespace kgents::runtime {

concurrency_limits concurrency_of(std::string_view tier) noexcept {
  if (tier == "pro" || tier == "team")
    return {64, 2'000};
  if (tier == "enterprise" || tier == "custom")
    return {1'024, 20'000};
  return {4, 100};
}

std::shared_ptr<void> permits::take(const std::shared_ptr<permits>& from) {
  if (from->taken_.fetch_add(1) >= from->most_.load()) {
    from->taken_.fetch_sub(1);
    return nullptr;
  }
  return {from.get(), [from](permits* x) { x->taken_.fetch_sub(1); }};
}

std::shared_ptr<tenant_gate> tenant_gates::of(tenant_id tenant, std::string_view tier) {
  const auto limits = concurrency_of(tier);
  std::lock_guard guard{mutex_};
  auto& gate = gates_[tenant];
  if (gate == nullptr)
    gate = std::make_shared<tenant_gate>(limits);
  gate->turns->set_limit(limits.turns);
  gate->streams->set_limit(limits.streams);
  return gate;
}

std::shared_ptr<tenant_gate> tenant_gates::of(tenant_id tenant) {
  std::lock_guard guard{mutex_};
  auto& gate = gates_[tenant];
  if (gate == nullptr)
    gate = std::make_shared<tenant_gate>(concurrency_of("free"));
  return gate;
}

template <class T>
std::weak_ptr<T>& tenant_gates::weak_map<T>::of(api_key_id key) {
  if (all.size() >= sweep_at) {
    std::erase_if(all, [](const auto& x) { return x.second.expired(); });
    sweep_at = std::max<size_t>(1024, 2 * all.size());
  }
  return all[key];
}

void tenant_gates::add(api_key_id key, const std::shared_ptr<key_gate>& gate) {
  std::lock_guard guard{mutex_};
  keys_.of(key) = gate;
}

std::shared_ptr<key_gate> tenant_gates::find(api_key_id key) {
  std::lock_guard guard{mutex_};
  const auto at = keys_.all.find(key);
  return at == keys_.all.end() ? nullptr : at->second.lock();
}

std::shared_ptr<traffic_gate> tenant_gates::traffic(api_key_id key, traffic_limits limits) {
  std::lock_guard guard{mutex_};
  auto& known = traffic_.of(key);
  auto out = known.lock();
  if (out == nullptr)
    known = out = std::make_shared<traffic_gate>(limits);
  else
    out->set_limits(limits);
  return out;
}

namespace {

uint64_t month_number(std::chrono::sys_seconds now) noexcept {
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(now)};
  return static_cast<uint64_t>(static_cast<int>(date.year())) * 12 +
         static_cast<unsigned>(date.month());
}

}  // namespace

void month_tokens::set(uint64_t tokens, std::chrono::sys_seconds now) noexcept {
  packed_ = month_number(now) << month_shift | tokens;
}

void month_tokens::add(uint64_t tokens, std::chrono::sys_seconds now) noexcept {
  const auto month = month_number(now);
  auto was = packed_.load();
  while (!packed_.compare_exchange_weak(
      was, (was >> month_shift == month ? was : month << month_shift) + tokens)) {
  }
}

uint64_t month_tokens::count(std::chrono::sys_seconds now) const noexcept {
  const auto x = packed_.load();
  return x >> month_shift == month_number(now) ? x & ((uint64_t{1} << month_shift) - 1) : 0;
}

key_gate::key_gate(key_limits limits, usage so_far, std::shared_ptr<month_tokens> month,
                   std::shared_ptr<traffic_gate> traffic, seconds now)
    : limits_{limits},
      used_{so_far},
      month_{std::move(month)},
      traffic_{std::move(traffic)},
      day_{std::chrono::floor<std::chrono::days>(now)} {}

void key_gate::set_limits(key_limits limits) {
  std::lock_guard guard{mutex_};
  if (limits.operations_per_day != limits_.operations_per_day)
    used_up_ = false;
  limits_ = limits;
  traffic_->set_limits(limits.traffic());
}

void key_gate::roll(seconds wall) {
  const auto day = std::chrono::floor<std::chrono::days>(wall);
  if (day == day_)
    return;
  day_ = day;
  used_ = {};
  block_ = 0;
  used_up_ = false;
}

/// None: PostgreSQL has to be asked.
std::optional<verdict> key_gate::operation_from_block(seconds wall) {
  roll(wall);
  if (limits_.operations_per_day == 0) {
    ++used_.operations_today;
    return verdict{};
  }
  if (block_ > 0) {
    --block_;
    ++used_.operations_today;
    return verdict{};
  }
  if (used_up_) {
    ++used_.operations_today;
    return verdict{.allowed = false, .retry_after_seconds = until_midnight(wall)};
  }
  if (waiting_.size() >= most_waiting)
    return verdict{.allowed = false, .unavailable = true, .retry_after_seconds = 1};
  return std::nullopt;
}

key_gate::operations_wanted key_gate::question() {
  std::lock_guard guard{mutex_};
  const auto block = std::max(1u, limits_.operations_per_day / 10'000);
  return {std::max(block, static_cast<uint32_t>(waiting_.size())), limits_.operations_per_day};
}

bool key_gate::granted(operations_wanted asked, uint32_t count, uint64_t today, seconds wall) {
  std::vector<std::pair<verdict_handler, verdict>> decided;
  bool again = false;
  {
    std::lock_guard guard{mutex_};
    roll(wall);
    const auto pass = std::min<size_t>(count, waiting_.size());
    for (size_t i = 0; i < pass; ++i)
      decided.emplace_back(std::move(waiting_[i]), verdict{});
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(pass));
    block_ = count - static_cast<uint32_t>(pass);
    used_.operations_today = today - std::min<uint64_t>(today, block_);
    if (count < asked.count && asked.limit == limits_.operations_per_day) {
      used_up_ = true;
      // PostgreSQL has counted one of them if none was granted.
      used_.operations_today += waiting_.size() - (count == 0 && !waiting_.empty() ? 1 : 0);
      for (auto& who : waiting_)
        decided.emplace_back(std::move(who), verdict{.allowed = false,
                                                     .retry_after_seconds = until_midnight(wall)});
      waiting_.clear();
    }
    again = asking_ = !waiting_.empty();
  }
  for (auto& [who, what] : decided)
    who(what);
  return again;
}

void key_gate::unreachable() {
  std::vector<verdict_handler> refused;
  {
    std::lock_guard guard{mutex_};
    refused.swap(waiting_);
    asking_ = false;
  }
  for (auto& who : refused)
    who({.allowed = false, .unavailable = true, .retry_after_seconds = 1});
}

bool key_gate::fits(uint64_t estimate, seconds wall) const {
  std::lock_guard guard{mutex_};
  return limits_.tokens_per_month == 0 ||
         month_->count(wall) + estimate <= limits_.tokens_per_month;
}

void key_gate::add_tokens(uint64_t tokens, seconds wall) {
  std::lock_guard guard{mutex_};
  roll(wall);
  used_.tokens_today += tokens;
  month_->add(tokens, wall);
}

key_gate::state key_gate::look(seconds wall) {
  std::lock_guard guard{mutex_};
  roll(wall);
  return {used_, month_->count(wall), limits_, traffic_->left()};
}

uint32_t until_midnight(std::chrono::sys_seconds now) noexcept {
  const auto next = std::chrono::floor<std::chrono::days>(now) + std::chrono::days{1};
  return static_cast<uint32_t>((next - now).count());
}

}  // namespace kgents::runtime
