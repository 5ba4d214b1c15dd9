#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "actors/tenant.hpp"
#include "protocol/messages.hpp"
#include "protocol/traffic.hpp"
#include "runtime/port.hpp"
#include "runtime/settings.hpp"
#include "sql/keys.hpp"

namespace kgents::gateway {

class sign_in_desk;

/// Who calls: a key that was found, with the gates that count it.
struct credential {
  /// Of somebody who signed in with a token: the person's own, with the scopes that the token
  /// leaves, and the token's end as `expires_at`.
  sql::resolved_key key;
  bool signed_in = false;
  actors::key_lease lease;
  shard_id home;  ///< of the tenant's traffic
  std::chrono::steady_clock::time_point asked_at{};  ///< what it may do is not known to be newer
  std::chrono::steady_clock::time_point fresh_until{};
};
using credential_ptr = std::shared_ptr<const credential>;

/// What was presented, from `X-API-Key`, `Authorization: Bearer`, or `?api_key=` where it is
/// allowed.
struct presented {
  bool any = false;
  bool may_be_token = false;  ///< not from `X-API-Key`, which is for keys only
  std::string key;
};

/// Turns presented keys and tokens into credentials: a cache of hashes in front of
/// `kg.resolve_api_key`, the identity provider's word with `kg.resolve_sign_in`, and the tenant's
/// actor.
///
/// The plaintext is hashed and dropped; the cache never holds it. Found keys stay 30 s, unknown
/// ones 5 s; each part has a bound, and a flood of unknown keys evicts only unknown ones. Any
/// thread; `done` comes on the asking I/O thread.
class authenticator {
public:
  struct parts {
    sql::transactor& pool;     ///< kg_app's
    sql::transactor& control;  ///< kg_control's
    runtime::ports& ports;
    sign_in_desk& desk;
  };
  authenticator(parts with, const runtime::secret& pepper);

  using result = std::variant<credential_ptr, refusal>;

  /// At once when it is cached or plainly wrong; none: ask.
  [[nodiscard]] std::optional<result> cached(const presented& x);
  /// Looks it up. Concurrent look-ups of the same unknown key are bounded by the pool's queue.
  void resolve(runtime::io_thread& thread, presented x, std::function<void(result)> done);

  /// The keys that are cached as good.
  [[nodiscard]] std::vector<api_key_id> keys() const;
  /// They may not be what they were: the next request with one is looked up.
  void forget(const std::vector<sql::unfit_key>& keys);
  /// The same for everybody who signed in with a token: some of the provider's keys are gone.
  void forget_signed_in();

private:
  using hash = std::string;  // 64 hex characters

  struct shelf {
    mutable std::mutex mutex;
    std::unordered_map<hash, credential_ptr> found;
    std::unordered_map<hash, std::chrono::steady_clock::time_point> unknown;
  };
  static constexpr size_t shelves = 16;

  [[nodiscard]] bool is_token(const presented& x) const;
  [[nodiscard]] hash hash_of(std::string_view key) const;
  [[nodiscard]] shelf& shelf_of(const hash& x) { return shelves_[std::hash<hash>{}(x) % shelves]; }
  /// Who is asked about, under which hash, and since when.
  struct question {
    hash x;
    std::chrono::steady_clock::time_point asked_at;
    bool signed_in = false;
  };

  void resolve_token(runtime::io_thread& thread, std::string token,
                     std::function<void(result)> done);
  void lease(runtime::io_thread& thread, const question& asked,
             std::shared_ptr<const sql::resolved_key> key, const std::function<void(result)>& done);
  void remember(const hash& x, credential_ptr who);
  void remember_unknown(const hash& x);

  const parts with_;
  const std::string pepper_;
  std::array<shelf, shelves> shelves_;
  /// The last time that something was forgotten: what was asked before may be what was forgotten.
  std::atomic<std::chrono::steady_clock::time_point> forgot_at_{};
};

}  // namespace kgents::gateway
