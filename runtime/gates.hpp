#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/ids.hpp"

/// What a tenant and a key may use up on this node. The tenant's actor makes the gates and keeps
/// them right; connections hold a share and count on it without a hop.
namespace kgents::runtime {

/// Concurrency of a tier (design.md section 10).
struct concurrency_limits {
  uint32_t turns = 4;      ///< answers that are being made at once
  uint32_t streams = 100;  ///< open SSE and WebSocket connections
};
[[nodiscard]] concurrency_limits concurrency_of(std::string_view tier) noexcept;

/// A count with a limit; what is taken is given back when it dies. Any thread.
class permits {
public:
  explicit permits(uint32_t most) : most_{most} {}

  /// Null when all are taken.
  [[nodiscard]] static std::shared_ptr<void> take(const std::shared_ptr<permits>& from);

  void set_limit(uint32_t most) noexcept { most_ = most; }
  [[nodiscard]] uint32_t limit() const noexcept { return most_; }
  [[nodiscard]] uint32_t taken() const noexcept { return taken_; }

private:
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint32_t> most_;
};

/// Tokens of the present month (UTC), of a tenant or of a key with a limit of its own. Any thread.
class month_tokens {
public:
  void set(uint64_t tokens, std::chrono::sys_seconds now) noexcept;
  void add(uint64_t tokens, std::chrono::sys_seconds now) noexcept;
  [[nodiscard]] uint64_t count(std::chrono::sys_seconds now) const noexcept;

private:
  // Month number and count in one word, so that a new month and the first addition to it are one
  // step.
  static constexpr int month_shift = 48;
  std::atomic<uint64_t> packed_{0};
};

/// One tenant's.
struct tenant_gate {
  explicit tenant_gate(concurrency_limits x)
      : turns{std::make_shared<permits>(x.turns)},
        streams{std::make_shared<permits>(x.streams)},
        tokens{std::make_shared<month_tokens>()} {}

  std::shared_ptr<permits> turns;
  std::shared_ptr<permits> streams;
  std::shared_ptr<month_tokens> tokens;
};

class key_gate;

/// All tenants of a node. Any thread.
class tenant_gates {
public:
  [[nodiscard]] std::shared_ptr<tenant_gate> of(tenant_id tenant, std::string_view tier);
  /// Whatever its tier: for a session, whose tenant's key has been here before; the least
  /// otherwise.
  [[nodiscard]] std::shared_ptr<tenant_gate> of(tenant_id tenant);

  /// Keeps a key's gate findable while somebody holds it.
  void add(api_key_id key, const std::shared_ptr<key_gate>& gate);
  /// Null when nobody on this node uses that key.
  [[nodiscard]] std::shared_ptr<key_gate> find(api_key_id key);

private:
  std::mutex mutex_;
  std::unordered_map<api_key_id, std::weak_ptr<key_gate>> keys_;
  size_t sweep_keys_at_ = 1024;
  std::unordered_map<tenant_id, std::shared_ptr<tenant_gate>> gates_;
};

struct key_limits {
  uint32_t requests_per_minute = 0;  ///< 0: unlimited, as all of these
  uint32_t burst = 0;
  uint32_t requests_per_hour = 0;
  uint32_t operations_per_day = 0;
  uint64_t tokens_per_month = 0;
};

/// One API key's: the traffic bucket (requests per minute with a burst, and per hour), the
/// operations of the day, the tokens of the month. Days and months are UTC. Any thread; a mutex
/// held for a few additions.
class key_gate {
public:
  using seconds = std::chrono::sys_seconds;

  struct usage {
    uint64_t operations_today = 0;
    uint64_t tokens_today = 0;
  };

  /// `month` is the tenant's count, or the key's own if its monthly limit is.
  key_gate(key_limits limits, usage so_far, std::shared_ptr<month_tokens> month, seconds now);

  void set_limits(key_limits limits);

  struct verdict {
    bool allowed = true;
    bool hourly = false;  ///< it was the hour's limit
    uint32_t retry_after_seconds = 0;
  };
  /// Any authenticated request: takes one from the bucket.
  verdict request(std::chrono::steady_clock::time_point now, seconds wall);
  /// A metered operation: counted first, then compared; a refused one stays counted.
  verdict operation(seconds wall);
  /// Whether `estimate` more tokens fit into the month.
  [[nodiscard]] bool fits(uint64_t estimate, seconds wall) const;
  void add_tokens(uint64_t tokens, seconds wall);

  struct state {
    usage used;
    uint64_t tokens_month = 0;
    key_limits limits;
    uint32_t left_this_minute = 0;
  };
  [[nodiscard]] state look(seconds wall);

private:
  void roll(seconds wall);
  [[nodiscard]] double most_in_bucket() const noexcept;

  mutable std::mutex mutex_;
  key_limits limits_;
  usage used_;
  const std::shared_ptr<month_tokens> month_;
  std::chrono::sys_days day_;
  double bucket_ = 0;
  std::chrono::steady_clock::time_point filled_{};
  int64_t hour_ = 0;
  uint32_t this_hour_ = 0;
};

/// Seconds until the next UTC midnight, at least 1.
[[nodiscard]] uint32_t until_midnight(std::chrono::sys_seconds now) noexcept;

}  // namespace kgents::runtime
