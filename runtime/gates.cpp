#include "runtime/gates.hpp"

#include <algorithm>
#include <cmath>

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

void tenant_gates::add(api_key_id key, const std::shared_ptr<key_gate>& gate) {
  std::lock_guard guard{mutex_};
  if (keys_.size() >= sweep_keys_at_) {
    std::erase_if(keys_, [](const auto& x) { return x.second.expired(); });
    sweep_keys_at_ = std::max<size_t>(1024, 2 * keys_.size());
  }
  keys_[key] = gate;
}

std::shared_ptr<key_gate> tenant_gates::find(api_key_id key) {
  std::lock_guard guard{mutex_};
  const auto at = keys_.find(key);
  return at == keys_.end() ? nullptr : at->second.lock();
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
                   seconds now)
    : limits_{limits},
      used_{so_far},
      month_{std::move(month)},
      day_{std::chrono::floor<std::chrono::days>(now)},
      bucket_{most_in_bucket()} {}

void key_gate::set_limits(key_limits limits) {
  std::lock_guard guard{mutex_};
  const bool was_unlimited = limits_.requests_per_minute == 0;
  limits_ = limits;
  bucket_ = was_unlimited ? most_in_bucket() : std::min(bucket_, most_in_bucket());
}

double key_gate::most_in_bucket() const noexcept {
  return static_cast<double>(std::max(1u, limits_.burst));
}

void key_gate::roll(seconds wall) {
  const auto day = std::chrono::floor<std::chrono::days>(wall);
  if (day == day_)
    return;
  day_ = day;
  used_ = {};
}

key_gate::verdict key_gate::request(std::chrono::steady_clock::time_point now, seconds wall) {
  std::lock_guard guard{mutex_};
  if (limits_.requests_per_minute > 0) {
    const double per_second = limits_.requests_per_minute / 60.0;
    if (filled_ != std::chrono::steady_clock::time_point{})
      bucket_ += per_second * std::chrono::duration<double>(now - filled_).count();
    filled_ = now;
    bucket_ = std::min(bucket_, most_in_bucket());
    if (bucket_ < 1)
      return {false, false, static_cast<uint32_t>(std::ceil((1 - bucket_) / per_second))};
  }
  if (limits_.requests_per_hour > 0) {
    const auto hour = std::chrono::floor<std::chrono::hours>(wall).time_since_epoch().count();
    if (hour != hour_) {
      hour_ = hour;
      this_hour_ = 0;
    }
    if (this_hour_ >= limits_.requests_per_hour)
      return {false, true, static_cast<uint32_t>(3600 - wall.time_since_epoch().count() % 3600)};
    ++this_hour_;
  }
  // Without a limit nothing is taken: there would be a debt when one is set.
  if (limits_.requests_per_minute > 0)
    bucket_ -= 1;
  return {};
}

key_gate::verdict key_gate::operation(seconds wall) {
  std::lock_guard guard{mutex_};
  roll(wall);
  ++used_.operations_today;
  if (limits_.operations_per_day == 0 || used_.operations_today <= limits_.operations_per_day)
    return {};
  return {false, false, until_midnight(wall)};
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
  return {used_, month_->count(wall), limits_, static_cast<uint32_t>(std::max(0.0, bucket_))};
}

uint32_t until_midnight(std::chrono::sys_seconds now) noexcept {
  const auto next = std::chrono::floor<std::chrono::days>(now) + std::chrono::days{1};
  return static_cast<uint32_t>((next - now).count());
}

}  // namespace kgents::runtime
