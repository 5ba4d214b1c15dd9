#include "runtime/admission/traffic.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kgents::runtime {

namespace {

/// More nodes than ever ask within an hour; what is beyond is summed up.
constexpr size_t most_gateways = 64;
/// A refusal is remembered at most so long: limits may be raised.
constexpr auto remember_refusal = std::chrono::seconds{1};
constexpr uint32_t no_limit = std::numeric_limits<uint32_t>::max();

int64_t hour_of(std::chrono::sys_seconds wall) noexcept {
  return std::chrono::floor<std::chrono::hours>(wall).time_since_epoch().count();
}

uint32_t to_next_hour(std::chrono::sys_seconds wall) noexcept {
  return static_cast<uint32_t>(3600 - wall.time_since_epoch().count() % 3600);
}

uint32_t minus(uint32_t x, uint64_t y) noexcept {
  return x > y ? static_cast<uint32_t>(x - y) : 0;
}

}  // namespace

traffic_gate::traffic_gate(traffic_limits limits) : limits_{limits}, bucket_{most(1)} {}

void traffic_gate::set_limits(traffic_limits limits) {
  std::lock_guard guard{mutex_};
  const bool was_unlimited = limits_.requests_per_minute == 0;
  limits_ = limits;
  // Without a limit nothing is taken: there would be a debt when one is set.
  bucket_ = was_unlimited ? most(1) : std::min(bucket_, most(1));
}

double traffic_gate::most(double part) const noexcept {
  return std::max(1.0, std::floor(limits_.burst * part));
}

void traffic_gate::roll(moment at) {
  const auto hour = hour_of(at.wall);
  if (hour == hour_)
    return;
  hour_ = hour;
  mine_ = 0;
  gateways_.clear();
  forgotten_gateways_ = 0;
  elsewhere_ = 0;
}

void traffic_gate::refill(moment at, double part) {
  if (filled_ != clock::time_point{} && at.now > filled_)
    bucket_ += per_second() * part * std::chrono::duration<double>(at.now - filled_).count();
  filled_ = at.now;
  bucket_ = std::min(bucket_, most(part));
}

uint32_t traffic_gate::on_gateways() const noexcept {
  auto sum = forgotten_gateways_;
  for (const auto& x : gateways_)
    sum += x.admitted;
  return sum;
}

traffic_gate::gateway& traffic_gate::gateway_of(node_id x) {
  for (auto& known : gateways_)
    if (known.node == x)
      return known;
  if (gateways_.size() >= most_gateways) {
    forgotten_gateways_ += gateways_.front().admitted;
    gateways_.erase(gateways_.begin());
  }
  return gateways_.emplace_back(gateway{x, 0});
}

verdict traffic_gate::take_part(moment at, double part, uint32_t elsewhere) {
  if (limits_.requests_per_minute > 0) {
    refill(at, part);
    if (bucket_ < 1)
      return {.allowed = false,
              .retry_after_seconds =
                  static_cast<uint32_t>(std::ceil((1 - bucket_) / (per_second() * part)))};
  }
  if (limits_.requests_per_hour > 0 &&
      uint64_t{mine_} + elsewhere >= limits_.requests_per_hour)
    return {.allowed = false, .hourly = true, .retry_after_seconds = to_next_hour(at.wall)};
  ++mine_;
  if (limits_.requests_per_minute > 0)
    bucket_ -= 1;
  return {};
}

verdict traffic_gate::take(moment at) {
  std::lock_guard guard{mutex_};
  roll(at);
  leased_ = false;
  return take_part(at, 1, gateways_.empty() ? 0 : on_gateways());
}

traffic_block traffic_gate::lease(const take_traffic& x, bool own, moment at) {
  std::lock_guard guard{mutex_};
  roll(at);
  refill(at, 1);
  // What the gateway says of itself is newer than what we know: its block is used up or forgotten.
  auto* asker = own ? nullptr : &gateway_of(x.from);
  if (asker != nullptr)
    asker->admitted = x.hour == hour_ ? x.admitted : 0;
  const uint64_t this_hour = uint64_t{mine_} + on_gateways();
  const auto in_hour = limits_.requests_per_hour > 0 ? minus(limits_.requests_per_hour, this_hour)
                                                     : no_limit;
  const auto in_bucket =
      limits_.requests_per_minute > 0 ? static_cast<uint32_t>(std::max(0.0, bucket_)) : no_limit;
  const auto there = std::min(in_hour, in_bucket);
  traffic_block out;
  out.granted = std::min(x.need, there);
  // The last ones are not put aside for requests that may never come.
  out.granted += std::min(x.spare, (there - out.granted) / 8);
  if (limits_.requests_per_minute > 0)
    bucket_ -= out.granted;
  if (asker != nullptr)
    asker->admitted += out.granted;
  if (out.granted < x.need) {
    out.hourly = in_hour <= in_bucket;
    out.wait_ms = out.hourly ? to_next_hour(at.wall) * 1000
                             : static_cast<uint32_t>(std::ceil((1 - bucket_) * 1000 / per_second()));
  }
  out.left = static_cast<uint32_t>(std::max(0.0, bucket_));
  out.elsewhere = mine_ + on_gateways() - (asker != nullptr ? asker->admitted : mine_);
  return out;
}

/// None: the home has to be asked.
std::optional<verdict> traffic_gate::from_block(moment at) {
  if (!limits_.any())
    return verdict{};
  roll(at);
  if (at.now < alone_until_)
    return take_part(at, part_, elsewhere_);
  if (block_ > 0 && at.now < block_ends_) {
    --block_;
    ++mine_;
    return verdict{};
  }
  if (at.now < refused_until_) {
    const std::chrono::duration<double> wait = ready_at_ - at.now;
    return verdict{.allowed = false,
                   .hourly = refused_hourly_,
                   .retry_after_seconds = static_cast<uint32_t>(std::ceil(wait.count()))};
  }
  if (waiting_.size() >= most_waiting)
    return verdict{.allowed = false, .retry_after_seconds = 1};
  return std::nullopt;
}

take_traffic traffic_gate::question(moment at) {
  std::lock_guard guard{mutex_};
  roll(at);
  block_ = 0;
  asked_for_ = static_cast<uint32_t>(waiting_.size());
  take_traffic out;
  out.requests_per_minute = limits_.requests_per_minute;
  out.burst = limits_.burst;
  out.requests_per_hour = limits_.requests_per_hour;
  out.hour = hour_;
  out.admitted = mine_;
  out.need = asked_for_;
  out.spare = block_of(limits_);
  return out;
}

bool traffic_gate::answered(const traffic_block& x, moment at) {
  std::vector<std::pair<verdict_handler, verdict>> decided;
  bool again = false;
  {
    std::lock_guard guard{mutex_};
    roll(at);
    elsewhere_ = x.elsewhere;
    left_at_home_ = x.left;
    leased_ = true;
    const auto pass = std::min<size_t>(x.granted, waiting_.size());
    for (size_t i = 0; i < pass; ++i)
      decided.emplace_back(std::move(waiting_[i]), verdict{});
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(pass));
    mine_ += static_cast<uint32_t>(pass);
    block_ = x.granted - static_cast<uint32_t>(pass);
    block_ends_ = at.now + block_life;
    if (x.granted < asked_for_) {
      const auto wait = std::chrono::milliseconds{std::max(1u, x.wait_ms)};
      ready_at_ = at.now + wait;
      refused_until_ = at.now + std::min<clock::duration>(wait, remember_refusal);
      refused_hourly_ = x.hourly;
      for (auto& who : waiting_)
        decided.emplace_back(std::move(who),
                             verdict{.allowed = false,
                                     .hourly = x.hourly,
                                     .retry_after_seconds = (x.wait_ms + 999) / 1000});
      waiting_.clear();
    }
    again = asking_ = !waiting_.empty();
  }
  for (auto& [who, what] : decided)
    who(what);
  return again;
}

void traffic_gate::unreachable(size_t nodes, moment at) {
  std::vector<std::pair<verdict_handler, verdict>> decided;
  {
    std::lock_guard guard{mutex_};
    roll(at);
    leased_ = false;
    part_ = 1.0 / static_cast<double>(std::max<size_t>(1, nodes));
    alone_until_ = at.now + alone_for;
    for (auto& who : waiting_)
      decided.emplace_back(std::move(who), take_part(at, part_, elsewhere_));
    waiting_.clear();
    asking_ = false;
  }
  for (auto& [who, what] : decided)
    who(what);
}

uint32_t traffic_gate::left() const {
  std::lock_guard guard{mutex_};
  if (leased_)
    return left_at_home_ + block_;
  return static_cast<uint32_t>(std::max(0.0, bucket_));
}

bool traffic_gate::forgettable(moment at) {
  std::lock_guard guard{mutex_};
  roll(at);
  refill(at, 1);
  const bool hour_empty = limits_.requests_per_hour == 0 || (mine_ == 0 && on_gateways() == 0);
  return hour_empty && (limits_.requests_per_minute == 0 || bucket_ >= most(1)) &&
         waiting_.empty();
}

uint32_t traffic_gate::block_of(const traffic_limits& x) noexcept {
  if (x.requests_per_minute > 0)
    return x.requests_per_minute / 240;
  return x.requests_per_hour / 14'400;
}

}  // namespace kgents::runtime
