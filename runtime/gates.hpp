#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/ids.hpp"
#include "runtime/admission/fair_share.hpp"
#include "runtime/admission/traffic.hpp"

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
///
/// A mirror for headers and early refusals: PostgreSQL decides when a turn begins (kg.begin_turn), and
/// what other nodes have used is heard of when the key is looked up again.
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
        tokens{std::make_shared<month_tokens>()},
        share{std::make_shared<fair_share::tenant>()} {}

  std::shared_ptr<permits> turns;
  std::shared_ptr<permits> streams;
  std::shared_ptr<month_tokens> tokens;
  std::shared_ptr<fair_share::tenant> share;
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

  /// The requests with a key, which the tenant's traffic entity may count without its gate. It lives
  /// while somebody holds it.
  [[nodiscard]] std::shared_ptr<traffic_gate> traffic(api_key_id key, traffic_limits limits);

private:
  template <class T>
  struct weak_map {
    std::unordered_map<api_key_id, std::weak_ptr<T>> all;
    size_t sweep_at = 1024;

    std::weak_ptr<T>& of(api_key_id key);
  };

  std::mutex mutex_;
  weak_map<key_gate> keys_;
  weak_map<traffic_gate> traffic_;
  std::unordered_map<tenant_id, std::shared_ptr<tenant_gate>> gates_;
};

struct key_limits {
  uint32_t requests_per_minute = 0;  ///< 0: unlimited, as all of these
  uint32_t burst = 0;
  uint32_t requests_per_hour = 0;
  uint32_t operations_per_day = 0;
  uint64_t tokens_per_month = 0;

  [[nodiscard]] traffic_limits traffic() const noexcept {
    return {requests_per_minute, requests_per_hour, burst};
  }
};

/// One API key's, on this node: its traffic, the operations of the day, the tokens of the month.
/// Days and months are UTC. Any thread; a mutex held for a few additions.
///
/// PostgreSQL counts the operations (`sql::keys::take_operations`), so they are exact on all nodes
/// and after restarts; this takes them from there in blocks of a ten-thousandth of the limit, one
/// by one up to 10,000 a day, for all requests that wait at once. What a node that dies had left of
/// a block is used up. A key without a limit asks nobody: it is counted here only.
///
/// What `look` tells of other nodes' operations is as old as the last block.
class key_gate {
public:
  using seconds = std::chrono::sys_seconds;

  struct usage {
    uint64_t operations_today = 0;
    uint64_t tokens_today = 0;
  };

  /// `month` is the tenant's count, or the key's own if its monthly limit is.
  key_gate(key_limits limits, usage so_far, std::shared_ptr<month_tokens> month,
           std::shared_ptr<traffic_gate> traffic, seconds now);

  void set_limits(key_limits limits);

  /// Any authenticated request takes one of these.
  [[nodiscard]] traffic_gate& traffic() const noexcept { return *traffic_; }

  /// A metered operation: counted first, then compared; a refused one stays counted. `make` makes
  /// its verdict_handler, if it has to wait. The next three are for who was told to ask.
  template <class Make>
  [[nodiscard]] taken operation(seconds wall, Make make) {
    std::lock_guard guard{mutex_};
    if (auto x = operation_from_block(wall))
      return {x, false};
    waiting_.push_back(make());
    return {std::nullopt, !std::exchange(asking_, true)};
  }
  struct operations_wanted {
    uint32_t count = 0;
    uint32_t limit = 0;
  };
  [[nodiscard]] operations_wanted question();
  /// `today`: the key's count of the day with those. True: there are more who wait, ask again.
  [[nodiscard]] bool granted(operations_wanted asked, uint32_t count, uint64_t today, seconds wall);
  /// Nobody can count now: those who wait are refused.
  void unreachable();

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

  /// Operations that wait for one answer; more are refused.
  static constexpr size_t most_waiting = 1024;

private:
  void roll(seconds wall);
  [[nodiscard]] std::optional<verdict> operation_from_block(seconds wall);

  mutable std::mutex mutex_;
  key_limits limits_;
  usage used_;
  const std::shared_ptr<month_tokens> month_;
  const std::shared_ptr<traffic_gate> traffic_;
  std::chrono::sys_days day_;
  uint32_t block_ = 0;   // taken and not used yet
  bool used_up_ = false; // until midnight, or until the limit changes
  bool asking_ = false;
  std::vector<verdict_handler> waiting_;  // bounded by most_waiting
};

/// Seconds until the next UTC midnight, at least 1.
[[nodiscard]] uint32_t until_midnight(std::chrono::sys_seconds now) noexcept;

}  // namespace kgents::runtime
