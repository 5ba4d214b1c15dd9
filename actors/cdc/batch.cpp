#include "actors/cdc/batch.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace kgents::cdc {

using std::chrono::milliseconds;

milliseconds retry_delay(uint32_t failed) noexcept {
  constexpr milliseconds first{100};
  constexpr milliseconds most{10'000};
  return failed >= 7 ? most : std::min(first * (1u << failed), most);
}

batch_plan plan_batch(std::span<const change> changes,
                      const std::function<bool(const std::string&)>& vectorised) {
  using part = batch_plan::part;
  batch_plan out;
  out.parts.assign(changes.size(), part::nothing);
  out.newest.assign(changes.size(), 0);
  std::map<std::tuple<tenant_id, std::string_view, std::string_view>, size_t> newest;
  for (size_t i = changes.size(); i-- > 0;) {
    const auto& x = changes[i];
    if (x.settled || !x.due)
      continue;
    if (!vectorised(x.table) || x.superseded) {
      out.parts[i] = part::over;
      continue;
    }
    const auto [at, first] = newest.try_emplace({x.tenant, x.table, x.row}, i);
    out.parts[i] = first ? part::apply : part::follow;
    out.newest[i] = at->second;
    if (first)
      (x.attempts > 0 ? out.alone : out.together).push_back(i);
  }
  std::reverse(out.together.begin(), out.together.end());
  std::reverse(out.alone.begin(), out.alone.end());
  return out;
}

namespace {

result failed(result out, const change& x, const applied& end, uint32_t max_attempts) {
  using how = applied::how;
  out.error = end.error;
  out.counted = end.what == how::failed || end.what == how::invalid;
  if (end.what == how::invalid)
    out.reason = "invalid_payload";
  else if (end.what == how::failed && x.attempts + 1 >= max_attempts)
    out.reason = end.embedding ? "embedding_failed" : "max_retries_exceeded";
  else if (end.what != how::untouched)
    out.wait = retry_delay(x.attempts);
  return out;
}

/// Of an older change whose row's newest was tried: what holds it back holds the older one back.
result following(result out, const result& newest) {
  out.settled = newest.settled || !newest.reason.empty();
  out.wait = newest.wait;
  return out;
}

}  // namespace

std::vector<result> conclude(std::span<const change> changes, const batch_plan& plan,
                             const std::vector<applied>& ends, const std::vector<bool>& published,
                             uint32_t max_attempts) {
  using part = batch_plan::part;
  std::vector<result> out(changes.size());
  for (size_t i = changes.size(); i-- > 0;) {  // the newest first, which older ones follow
    result x;
    x.id = changes[i].id;
    x.published = published[i];
    if (plan.parts[i] == part::over)
      x.settled = true;
    else if (plan.parts[i] == part::follow)
      x = following(std::move(x), out[plan.newest[i]]);
    else if (plan.parts[i] == part::apply && ends[i].what == applied::how::done)
      x.settled = true;
    else if (plan.parts[i] == part::apply)
      x = failed(std::move(x), changes[i], ends[i], max_attempts);
    out[i] = std::move(x);
  }
  return out;
}

void lag_tracker::add(std::chrono::duration<double, std::milli> x) {
  last_.push_back(std::max(x.count(), 0.0));
  if (last_.size() > samples)
    last_.pop_front();
}

double lag_tracker::last() const noexcept { return last_.empty() ? 0 : last_.back(); }

double lag_tracker::most() const noexcept {
  return last_.empty() ? 0 : *std::max_element(last_.begin(), last_.end());
}

double lag_tracker::average() const noexcept {
  return last_.empty()
             ? 0
             : std::accumulate(last_.begin(), last_.end(), 0.0) / static_cast<double>(last_.size());
}

double lag_tracker::coherency() const noexcept { return std::max(0.0, 1.0 - average() / 5000.0); }

}  // namespace kgents::cdc
