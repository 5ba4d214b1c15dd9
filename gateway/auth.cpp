#include "gateway/auth.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <unordered_set>

#include "runtime/limits.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;
using clock = std::chrono::steady_clock;

namespace {

refusal unknown_key() { return {401, "Invalid API key. Please check your credentials.", 0, ""}; }

}  // namespace

authenticator::authenticator(sql::transactor& pool, runtime::ports& ports, const runtime::secret& pepper)
    : pool_{pool}, ports_{ports}, pepper_{pepper.reveal()} {}

authenticator::hash authenticator::hash_of(std::string_view key) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (pepper_.empty())
    EVP_Digest(key.data(), key.size(), digest.data(), &length, EVP_sha256(), nullptr);
  else
    HMAC(EVP_sha256(), pepper_.data(), static_cast<int>(pepper_.size()),
         reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data(), &length);
  static constexpr char digits[] = "0123456789abcdef";
  hash out;
  out.reserve(64);
  for (unsigned i = 0; i < length; ++i) {
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

std::optional<authenticator::result> authenticator::cached(std::string_view key) {
  if (!key.starts_with("kg_"))
    return refusal{401, "Invalid API key format. Keys must start with 'kg_'", 0, ""};
  if (key.size() > 256)
    return unknown_key();
  const auto x = hash_of(key);
  const auto now = clock::now();
  auto& p = part_of(x);
  std::lock_guard guard{p.mutex};
  if (const auto at = p.found.find(x); at != p.found.end()) {
    if (at->second->fresh_until > now)
      return at->second;
    p.found.erase(at);
  }
  if (const auto at = p.unknown.find(x); at != p.unknown.end()) {
    if (at->second > now)
      return unknown_key();
    p.unknown.erase(at);
  }
  return std::nullopt;
}

void authenticator::resolve(runtime::io_thread& thread, std::string key,
                            std::function<void(result)> done) {
  auto x = hash_of(key);
  auto query = sql::keys::resolve(x);
  query.work.deadline = clock::now() + limits::sql_deadline;
  sql::run(pool_, std::move(query), [this, &thread, x, done](auto answered) {
    boost::asio::post(thread.context(), [this, &thread, x, done, out = std::move(answered)] {
      if (std::holds_alternative<sql::failure>(out)) {
        done(refusal{503, "The database is out of reach. Try again shortly.", 1, "unavailable"});
        return;
      }
      const auto& row = std::get<0>(out);
      if (!row) {
        remember_unknown(x);
        done(unknown_key());
        return;
      }
      auto key = std::make_shared<const sql::resolved_key>(*row);
      ports_[thread.index()].ask<actors::key_lease>(
          tenant_entity(key->tenant), actors::open_key{key},
          [this, x, key, done](answer<actors::key_lease> lease) {
            if (!lease.ok()) {
              done(std::move(lease.wrong));
              return;
            }
            auto who = std::make_shared<credential>();
            who->key = *key;
            who->lease = std::move(lease.value);
            who->home = shard_of(traffic_entity(key->tenant));
            who->fresh_until = clock::now() + limits::key_cache_ttl;
            if (key->expires_at) {
              const auto left = *key->expires_at - std::chrono::system_clock::now();
              who->fresh_until =
                  std::min(who->fresh_until,
                           clock::now() + std::chrono::duration_cast<clock::duration>(left));
            }
            remember(x, who);
            done(credential_ptr{std::move(who)});
          });
    });
  });
}

void authenticator::remember(const hash& x, credential_ptr who) {
  auto& p = part_of(x);
  std::lock_guard guard{p.mutex};
  if (p.found.size() >= limits::key_cache_entries / parts) {
    std::erase_if(p.found,
                  [now = clock::now()](const auto& e) { return e.second->fresh_until <= now; });
    if (p.found.size() >= limits::key_cache_entries / parts)
      p.found.erase(p.found.begin());
  }
  p.unknown.erase(x);
  p.found[x] = std::move(who);
}

std::vector<api_key_id> authenticator::keys() const {
  std::vector<api_key_id> out;
  for (const auto& p : parts_) {
    std::lock_guard guard{p.mutex};
    for (const auto& [x, who] : p.found)
      out.push_back(who->key.key);
  }
  return out;
}

void authenticator::forget(const std::vector<sql::unfit_key>& keys) {
  std::unordered_set<api_key_id> which;
  for (const auto& x : keys)
    which.insert(x.key);
  for (auto& p : parts_) {
    std::lock_guard guard{p.mutex};
    std::erase_if(p.found, [&](const auto& x) { return which.contains(x.second->key.key); });
  }
}

void authenticator::remember_unknown(const hash& x) {
  auto& p = part_of(x);
  std::lock_guard guard{p.mutex};
  if (p.unknown.size() >= limits::key_cache_negative_entries / parts)
    p.unknown.erase(p.unknown.begin());
  p.unknown[x] = clock::now() + limits::key_cache_negative_ttl;
}

}  // namespace kgents::gateway
