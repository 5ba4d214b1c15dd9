#pragma once

#include <array>
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

/// Who calls: a key that was found, with the gates that count it.
struct credential {
  sql::resolved_key key;
  actors::key_lease lease;
  shard_id home;  ///< of the tenant's traffic
  std::chrono::steady_clock::time_point fresh_until{};
};
using credential_ptr = std::shared_ptr<const credential>;

/// What was presented, from `X-API-Key`, `Authorization: Bearer`, or `?api_key=` where it is
/// allowed.
struct presented {
  bool any = false;
  std::string key;
};

/// Turns presented keys into credentials: a cache of hashes in front of `kg.resolve_api_key` and
/// the tenant's actor.
///
/// The plaintext is hashed and dropped; the cache never holds it. Found keys stay 30 s, unknown
/// ones 5 s; each part has a bound, and a flood of unknown keys evicts only unknown ones. Any
/// thread; `done` comes on the asking I/O thread.
class authenticator {
public:
  authenticator(sql::transactor& pool, runtime::ports& ports, const runtime::secret& pepper);

  using result = std::variant<credential_ptr, refusal>;

  /// At once when it is cached or plainly wrong; none: ask.
  [[nodiscard]] std::optional<result> cached(std::string_view key);
  /// Looks it up. Concurrent look-ups of the same unknown key are bounded by the pool's queue.
  void resolve(runtime::io_thread& thread, std::string key, std::function<void(result)> done);

  /// The keys that are cached as good.
  [[nodiscard]] std::vector<api_key_id> keys() const;
  /// They may not be what they were: the next request with one is looked up.
  void forget(const std::vector<sql::unfit_key>& keys);

private:
  using hash = std::string;  // 64 hex characters

  struct part {
    mutable std::mutex mutex;
    std::unordered_map<hash, credential_ptr> found;
    std::unordered_map<hash, std::chrono::steady_clock::time_point> unknown;
  };
  static constexpr size_t parts = 16;

  [[nodiscard]] hash hash_of(std::string_view key) const;
  [[nodiscard]] part& part_of(const hash& x) { return parts_[std::hash<hash>{}(x) % parts]; }
  void remember(const hash& x, credential_ptr who);
  void remember_unknown(const hash& x);

  sql::transactor& pool_;
  runtime::ports& ports_;
  const std::string pepper_;
  std::array<part, parts> parts_;
};

}  // namespace kgents::gateway
