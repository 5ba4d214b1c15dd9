#include "gateway/auth.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "gateway/key_secret.hpp"
#include "gateway/mirror.hpp"
#include "gateway/sign_in.hpp"
#include "runtime/limits.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;
using clock = std::chrono::steady_clock;

namespace {

refusal unknown_key() { return {401, "Invalid API key. Please check your credentials.", 0, ""}; }

/// One for whatever is wrong: it teaches nobody how to make a better one.
refusal invalid_token() { return {401, "Invalid token", 0, ""}; }

/// How long ahead a cached credential must be fresh. That of a tenant with a database of its own is
/// looked up every second, which tells whether that is there: else it would be served from memory
/// for a while, and refused at whatever needs the database.
clock::time_point until(const sql::transactor& pool, const credential& who,
                        clock::time_point now) {
  constexpr std::chrono::seconds look_every{1};
  return pool.apart(who.key.tenant) ? now + limits::key_cache_ttl - look_every : now;
}

/// Calls `then` on `thread` once the tenant's own database, if it has one, knows whom its rows will
/// refer to.
void introduce(sql::transactor& pool, runtime::io_thread& thread, const sql::resolved_key& key,
               std::function<void(bool known)> then) {
  if (key.data_plane != "silo") {
    then(true);
    return;
  }
  mirror_principal(pool, key.tenant, key.user, key.key, clock::now() + limits::sql_deadline,
                   [&thread, then = std::move(then)](const std::optional<sql::failure>& why) {
                     boost::asio::post(thread.context(),
                                       [then, known = !why.has_value()] { then(known); });
                   });
}

refusal out_of_reach() {
  return {503, "The database is out of reach. Try again shortly.", 1, "unavailable"};
}

}  // namespace

authenticator::authenticator(parts with, const runtime::secret& pepper)
    : with_{with}, pepper_{pepper.reveal()} {}

/// A key says so itself; whatever else comes as a bearer is taken for a token.
bool authenticator::is_token(const presented& x) const {
  return x.may_be_token && with_.desk.enabled() && !x.key.starts_with("kg_");
}

authenticator::hash authenticator::hash_of(std::string_view key) const {
  return key_hash(key, pepper_);
}

std::optional<authenticator::result> authenticator::cached(const presented& shown) {
  const bool token = is_token(shown);
  if (!token && !shown.key.starts_with("kg_"))
    return refusal{401, "Invalid API key format. Keys must start with 'kg_'", 0, ""};
  if (shown.key.size() > (token ? runtime::identity::most_token_bytes : 256))
    return token ? invalid_token() : unknown_key();
  const auto x = hash_of(shown.key);
  const auto now = clock::now();
  auto& s = shelf_of(x);
  std::lock_guard guard{s.mutex};
  if (const auto at = s.found.find(x); at != s.found.end()) {
    if (at->second->fresh_until > until(with_.pool, *at->second, now))
      return at->second;
    s.found.erase(at);
  }
  if (const auto at = s.unknown.find(x); at != s.unknown.end()) {
    if (at->second > now)
      return token ? invalid_token() : unknown_key();
    s.unknown.erase(at);
  }
  return std::nullopt;
}

void authenticator::resolve(runtime::io_thread& thread, presented shown,
                            std::function<void(result)> done) {
  if (is_token(shown)) {
    resolve_token(thread, std::move(shown.key), std::move(done));
    return;
  }
  const question who{hash_of(shown.key), clock::now()};
  auto query = sql::keys::resolve(who.x);
  query.work.deadline = clock::now() + limits::sql_deadline;
  sql::run(with_.pool, std::move(query), [this, &thread, who, done](auto answered) {
    boost::asio::post(thread.context(), [this, &thread, who, done, out = std::move(answered)] {
      if (std::holds_alternative<sql::failure>(out)) {
        done(out_of_reach());
        return;
      }
      const auto& row = std::get<0>(out);
      if (!row) {
        remember_unknown(who.x);
        done(unknown_key());
        return;
      }
      lease(thread, who, std::make_shared<const sql::resolved_key>(*row), done);
    });
  });
}

void authenticator::resolve_token(runtime::io_thread& thread, std::string token,
                                  std::function<void(result)> done) {
  const question who{hash_of(token), clock::now(), true};
  with_.desk.look(thread, std::move(token), [this, &thread, who, done](auto verified) {
    if (const auto* wrong = std::get_if<runtime::identity::fault>(&verified)) {
      // The key may be known in a moment.
      if (*wrong != runtime::identity::fault::unknown_key)
        remember_unknown(who.x);
      done(invalid_token());
      return;
    }
    auto& claims = std::get<runtime::identity::claims>(verified);
    auto query = sql::keys::resolve_sign_in(with_.desk.asks_for(claims));
    query.work.deadline = clock::now() + limits::sql_deadline;
    sql::run(with_.control, std::move(query), [this, &thread, who, claims, done](auto answered) {
      boost::asio::post(thread.context(), [this, &thread, who, claims, done,
                                           out = std::move(answered)] {
        if (std::holds_alternative<sql::failure>(out)) {
          done(out_of_reach());
          return;
        }
        const auto& row = std::get<0>(out);
        if (!row) {
          with_.desk.knows_nobody();
          remember_unknown(who.x);
          done(invalid_token());
          return;
        }
        auto key = std::make_shared<sql::resolved_key>(*row);
        key->scopes = scopes_of(claims, key->scopes);
        key->expires_at = claims.good_until;
        lease(thread, who, std::move(key), done);
      });
    });
  });
}

void authenticator::lease(runtime::io_thread& thread, const question& asked,
                          std::shared_ptr<const sql::resolved_key> key,
                          const std::function<void(result)>& done) {
  introduce(with_.pool, thread, *key, [this, &thread, asked, key, done](bool known) {
    if (!known) {
      done(out_of_reach());
      return;
    }
    with_.ports[thread.index()].ask<actors::key_lease>(
        tenant_entity(key->tenant), actors::open_key{key},
        [this, asked, key, done](answer<actors::key_lease> lease) {
          if (!lease.ok()) {
            done(std::move(lease.wrong));
            return;
          }
          auto who = std::make_shared<credential>();
          who->key = *key;
          who->signed_in = asked.signed_in;
          who->asked_at = asked.asked_at;
          who->lease = std::move(lease.value);
          who->home = shard_of(traffic_entity(key->tenant));
          who->fresh_until = clock::now() + limits::key_cache_ttl;
          if (key->expires_at) {
            const auto left = *key->expires_at - std::chrono::system_clock::now();
            who->fresh_until = std::min(
                who->fresh_until, clock::now() + std::chrono::duration_cast<clock::duration>(left));
          }
          remember(asked.x, who);
          done(credential_ptr{std::move(who)});
        });
  });
}

/// What was asked before something was forgotten is good for its request and no other.
void authenticator::remember(const hash& x, credential_ptr who) {
  auto& s = shelf_of(x);
  std::lock_guard guard{s.mutex};
  if (who->asked_at <= forgot_at_.load())
    return;
  if (s.found.size() >= limits::key_cache_entries / shelves) {
    std::erase_if(s.found,
                  [now = clock::now()](const auto& e) { return e.second->fresh_until <= now; });
    if (s.found.size() >= limits::key_cache_entries / shelves)
      s.found.erase(s.found.begin());
  }
  s.unknown.erase(x);
  s.found[x] = std::move(who);
}

std::vector<api_key_id> authenticator::keys() const {
  std::vector<api_key_id> out;
  for (const auto& s : shelves_) {
    std::lock_guard guard{s.mutex};
    for (const auto& [x, who] : s.found)
      out.push_back(who->key.key);
  }
  return out;
}

void authenticator::forget(const std::vector<sql::unfit_key>& keys) {
  std::unordered_map<api_key_id, sql::unfit> which;
  for (const auto& x : keys)
    which.emplace(x.key, x.why);
  const auto stale = [&](const auto& x) {
    const auto at = which.find(x.second->key.key);
    // That it may not read is no news of one that never could.
    return at != which.end() &&
           (at->second != sql::unfit::unreadable || x.second->key.scopes.read);
  };
  forgot_at_ = clock::now();
  for (auto& s : shelves_) {
    std::lock_guard guard{s.mutex};
    std::erase_if(s.found, stale);
  }
}

void authenticator::forget_signed_in() {
  forgot_at_ = clock::now();
  for (auto& s : shelves_) {
    std::lock_guard guard{s.mutex};
    std::erase_if(s.found, [](const auto& x) { return x.second->signed_in; });
  }
}

void authenticator::remember_unknown(const hash& x) {
  auto& s = shelf_of(x);
  std::lock_guard guard{s.mutex};
  if (s.unknown.size() >= limits::key_cache_negative_entries / shelves)
    s.unknown.erase(s.unknown.begin());
  s.unknown[x] = clock::now() + limits::key_cache_negative_ttl;
}

}  // namespace kgents::gateway
