#include "gateway/access.hpp"

#include <algorithm>

#include "runtime/limits.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

/// How long one look may take before the next one asks instead.
constexpr auto look_within = std::chrono::seconds{1};
/// How long a key of a capability token stays known when no token of it is shown.
constexpr auto vouched_for = std::chrono::minutes{1};
constexpr size_t most_vouched = 10'000;
/// How long a look-up that began before a change may still put what it read into the cache, and then
/// some.
constexpr auto forgotten_for = std::chrono::minutes{1};

int64_t microseconds(std::chrono::system_clock::time_point x) {
  return std::chrono::floor<std::chrono::microseconds>(x).time_since_epoch().count();
}

/// Whether a key with that against it may act no more.
bool is_gone(sql::unfit x) noexcept { return x > sql::unfit::changed; }

}  // namespace

access_watch::access_watch(sql::transactor& control, authenticator& auth, live_keys& streams)
    : control_{control}, auth_{auth}, streams_{streams} {}

void access_watch::changed(std::function<void()> done) {
  std::vector<std::function<void()>> mine;
  {
    std::lock_guard guard{mutex_};
    if (done)
      waiting_.push_back(std::move(done));
    if (looking_) {
      // The one under way may have been asked before the change was there to be seen.
      again_ = true;
      return;
    }
    looking_ = true;
    mine = std::exchange(waiting_, {});
  }
  begin(std::move(mine));
}

std::vector<api_key_id> access_watch::in_use() {
  auto out = streams_.all();
  const auto cached = auth_.keys();
  out.insert(out.end(), cached.begin(), cached.end());
  {
    const auto old = clock::now() - vouched_for;
    std::lock_guard guard{mutex_};
    std::erase_if(vouched_, [old](const auto& x) { return x.second.used < old; });
    for (const auto& [key, what] : vouched_)
      out.push_back(key);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void access_watch::begin(std::vector<std::function<void()>> done) {
  streams_.expire(std::chrono::system_clock::now());
  const auto end = [this](std::vector<std::function<void()>> told) {
    for (const auto& x : told)
      x();
    std::vector<std::function<void()>> next;
    {
      std::lock_guard guard{mutex_};
      looking_ = std::exchange(again_, false);
      if (!looking_)
        return;
      next = std::exchange(waiting_, {});
    }
    begin(std::move(next));
  };
  auto keys = in_use();
  if (keys.empty()) {
    end(std::move(done));
    return;
  }
  auto query = sql::keys::unfit_among(keys);
  const auto began = clock::now();
  query.work.deadline = began + look_within;
  sql::run(control_, std::move(query),
           [this, end, began, keys = std::move(keys), done = std::move(done)](auto out) mutable {
             if (const auto* unfit = std::get_if<0>(&out))
               learn(keys, *unfit, began);
             end(std::move(done));
           });
}

void access_watch::learn(const std::vector<api_key_id>& asked,
                         const std::vector<sql::unfit_key>& unfit, clock::time_point when) {
  {
    std::lock_guard guard{mutex_};
    for (const auto& key : asked)
      if (const auto at = vouched_.find(key); at != vouched_.end())
        at->second.confirmed = when;
    for (const auto& x : unfit)
      if (is_gone(x.why))
        vouched_.erase(x.key);
      else if (const auto at = vouched_.find(x.key); at != vouched_.end())
        at->second.changed_at = x.changed_at;
  }
  const auto now = clock::now();
  std::unordered_map<api_key_id, told> known;
  std::vector<sql::unfit_key> fresh;
  for (const auto& x : unfit) {
    told t{x.changed_at, now};
    if (const auto at = told_.find(x.key);
        at != told_.end() && at->second.changed_at == x.changed_at)
      t = at->second;
    if (x.changed_at != 0) {
      known.emplace(x.key, t);
      streams_.renew(x.key, t.since);
    }
    if (is_gone(x.why) || t.since + forgotten_for > now)
      fresh.push_back(x);
  }
  told_ = std::move(known);
  if (fresh.empty())
    return;
  auth_.forget(fresh);
  streams_.end(fresh);
}

void access_watch::ask(std::vector<api_key_id> keys, std::chrono::system_clock::time_point since,
                       std::function<void(standing)> done) {
  const auto now = clock::now();
  const auto then = microseconds(since);
  {
    std::lock_guard guard{mutex_};
    const auto known = [&](const api_key_id& key) {
      const auto at = vouched_.find(key);
      if (at == vouched_.end() || at->second.confirmed + limits::key_cache_ttl < now ||
          at->second.changed_at > then)
        return false;
      at->second.used = now;
      return true;
    };
    std::erase_if(keys, known);
  }
  if (keys.empty()) {
    done(standing::good);
    return;
  }
  auto query = sql::keys::unfit_among(keys);
  query.work.deadline = now + limits::sql_deadline;
  sql::run(control_, std::move(query),
           [this, now, then, keys = std::move(keys), done = std::move(done)](auto out) {
             const auto* unfit = std::get_if<0>(&out);
             if (unfit == nullptr) {
               done(standing::unreachable);
               return;
             }
             const bool gone =
                 std::any_of(unfit->begin(), unfit->end(), [then](const auto& x) {
                   return is_gone(x.why) || x.changed_at > then;
                 });
             if (!gone) {
               std::lock_guard guard{mutex_};
               for (const auto& key : keys)
                 if (vouched_.size() < most_vouched)
                   vouched_.insert_or_assign(key, vouched{now, now});
               for (const auto& x : *unfit)
                 if (const auto at = vouched_.find(x.key); at != vouched_.end())
                   at->second.changed_at = x.changed_at;
             }
             done(gone ? standing::gone : standing::good);
           });
}

}  // namespace kgents::gateway
