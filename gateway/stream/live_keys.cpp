#include "gateway/stream/live_keys.hpp"

#include <boost/asio/post.hpp>

namespace kgents::gateway {

namespace {

std::string_view sentence(end_reason x) noexcept {
  switch (x) {
    case end_reason::key_revoked:
      return "The API key was revoked.";
    case end_reason::key_expired:
      return "The API key has expired.";
    case end_reason::token_expired:
      return "The token has expired.";
    case end_reason::user_deactivated:
      return "The user was deactivated.";
    case end_reason::tenant_inactive:
      return "The tenant is not active.";
    case end_reason::rights_changed:
      return "What the credential may do has changed. Come back with it.";
  }
  return {};
}

/// None: the key's streams stay.
std::optional<end_reason> reason_of(sql::unfit x, bool reads) noexcept {
  switch (x) {
    case sql::unfit::changed:
      return std::nullopt;
    case sql::unfit::unreadable:
      return reads ? std::optional{end_reason::key_revoked} : std::nullopt;
    case sql::unfit::key_revoked:
      return end_reason::key_revoked;
    case sql::unfit::key_expired:
      return end_reason::key_expired;
    case sql::unfit::user_deactivated:
      return end_reason::user_deactivated;
    case sql::unfit::tenant_inactive:
      return end_reason::tenant_inactive;
  }
  return end_reason::key_revoked;
}

}  // namespace

std::string_view to_string(end_reason x) noexcept {
  switch (x) {
    case end_reason::key_revoked:
      return "key_revoked";
    case end_reason::key_expired:
      return "key_expired";
    case end_reason::token_expired:
      return "token_expired";
    case end_reason::user_deactivated:
      return "user_deactivated";
    case end_reason::tenant_inactive:
      return "tenant_inactive";
    case end_reason::rights_changed:
      return "rights_changed";
  }
  return {};
}

std::string last_words(end_reason x) {
  std::string out = R"({"error":")";
  out += sentence(x);
  out += R"(","type":")";
  out += to_string(x);
  out += R"("})";
  return out;
}

std::shared_ptr<void> live_keys::watch(const credential_ptr& who, runtime::io_thread& thread,
                                       bool acts, ender end) {
  auto fresh = std::make_shared<stream>(
      stream{thread, std::move(end), who->key.expires_at,
             who->signed_in ? end_reason::token_expired : end_reason::key_expired,
             who->key.scopes.read, acts, who->asked_at});
  std::lock_guard guard{state_->mutex};
  const auto place = state_->all.emplace(who->key.key, fresh);
  auto* raw = fresh.get();
  return {raw, [state = state_, place, fresh = std::move(fresh)](void*) mutable {
            std::lock_guard inner{state->mutex};
            state->all.erase(place);
            fresh.reset();
          }};
}

std::vector<api_key_id> live_keys::all() const {
  std::vector<api_key_id> out;
  std::lock_guard guard{state_->mutex};
  for (auto at = state_->all.begin(); at != state_->all.end();
       at = state_->all.upper_bound(at->first))
    out.push_back(at->first);
  return out;
}

/// Streams end on their own thread, so one that is there when this runs stays while it runs.
void live_keys::tell(const std::weak_ptr<stream>& which, end_reason why) {
  if (const auto x = which.lock())
    boost::asio::post(x->thread.context(), [which, why] {
      if (const auto still = which.lock())
        still->end(why);
    });
}

void live_keys::end(const std::vector<sql::unfit_key>& keys) {
  std::lock_guard guard{state_->mutex};
  for (const auto& x : keys) {
    const auto [first, last] = state_->all.equal_range(x.key);
    for (auto at = first; at != last; ++at)
      if (const auto one = at->second.lock())
        if (const auto why = reason_of(x.why, one->reads))
          tell(at->second, *why);
  }
}

void live_keys::renew(api_key_id key, std::chrono::steady_clock::time_point since) {
  std::lock_guard guard{state_->mutex};
  const auto [first, last] = state_->all.equal_range(key);
  for (auto at = first; at != last; ++at)
    if (const auto one = at->second.lock(); one != nullptr && one->acts && one->asked_at < since)
      tell(at->second, end_reason::rights_changed);
}

void live_keys::expire(std::chrono::system_clock::time_point now) {
  std::lock_guard guard{state_->mutex};
  for (const auto& [key, which] : state_->all)
    if (const auto one = which.lock(); one != nullptr && one->expires_at && *one->expires_at < now)
      tell(which, one->expired);
}

}  // namespace kgents::gateway
