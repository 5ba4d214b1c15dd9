#pragma once

#include <array>
#include <atomic>
#include <caf/actor.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <variant>
#include <vector>

#include "protocol/entity.hpp"
#include "runtime/cluster/routes.hpp"

namespace kgents::runtime {

/// Why a message was not sent to an entity: what was full, or where it is instead.
enum class admission_refusal : uint8_t {
  entity,
  node,
  stopping,
  elsewhere,   ///< ask its owner
  in_transit,  ///< its shard is being handed over, or nobody's yet: wait
};

/// Whether entities of that kind are placed on the cluster's nodes; the others live on every node
/// that needs them.
[[nodiscard]] constexpr bool is_placed(entity_kind x) noexcept {
  return x != entity_kind::tenant && x != entity_kind::soul;
}

struct region_limits {
  uint32_t entity_in_flight;
  uint32_t node_in_flight;
};

/// The entities of this node: activated by their first message, passivated when idle, addressed by
/// id only.
///
/// A message is sent under a permit, which counts as "sent and not yet answered" until it dies:
/// CAF's mailboxes have no bound, so this is theirs (design.md section 4). The same count makes
/// passivation safe: an entity leaves only while no permit for it exists.
///
/// Not an actor: finding a handle must not cost a hop. A map in 64 parts, each under a mutex held
/// for a lookup. An entity that ends by itself or crashes is forgotten; the next message activates
/// a fresh one, from PostgreSQL.
///
/// In a cluster it admits only to shards that this node holds; `routes` says which, and where the
/// others are.
///
/// Any thread.
class region {
  struct entry {
    caf::actor handle;
    std::atomic<uint32_t> in_flight{0};
    entity_id id;
  };

public:
  /// Makes the actor of an entity, which writes under that lease. Called under a lock: it must only
  /// spawn.
  using factory = std::function<caf::actor(const entity_id&, lease_epoch)>;

  /// What happens to entities; called on any thread.
  struct observer {
    std::function<void(entity_kind, int)> count = [](entity_kind, int) {
    };  ///< +1 activated, -1 ended
    std::function<void(const entity_id&, const caf::error&)> crashed = [](const entity_id&,
                                                                          const caf::error&) {};
    /// Its shard was lost: it was killed.
    std::function<void(const entity_id&)> dropped = [](const entity_id&) {};
  };

  /// `where` outlives this.
  region(region_limits limits, observer seen, const cluster::routes& where);
  ~region();

  /// Before the first message.
  void serve(entity_kind kind, factory make);

  class permit {
  public:
    permit() = default;
    permit(permit&& x) noexcept = default;
    permit& operator=(permit&& x) noexcept {
      release();
      entry_ = std::move(x.entry_);
      region_ = x.region_;
      return *this;
    }
    ~permit() { release(); }
    [[nodiscard]] const caf::actor& actor() const noexcept { return entry_->handle; }

  private:
    friend class region;
    permit(std::shared_ptr<entry> e, region* r) : entry_{std::move(e)}, region_{r} {}
    void release() noexcept;
    std::shared_ptr<entry> entry_;
    region* region_ = nullptr;
  };

  /// The right to send one message to `id`, which is activated if it is not in memory.
  [[nodiscard]] std::variant<permit, admission_refusal> admit(const entity_id& id);

  /// Called by an idle entity: true when it is forgotten and must quit; false when a message is on
  /// its way.
  [[nodiscard]] bool retire(const entity_id& id, const caf::actor_addr& self);

  [[nodiscard]] cluster::route route_of(const entity_id& id) const noexcept;

  /// The entities in memory of these shards, which `routes` must already say are not here: with the
  /// return nobody is admitted to them any more.
  [[nodiscard]] std::vector<std::pair<entity_id, caf::actor>> of(const std::vector<shard_id>& shards);

  /// Their leases are lost: the entities of these shards are forgotten and killed.
  void drop(const std::vector<shard_id>& shards);

  /// No new activations or messages; entities are told to quit.
  void stop();

  [[nodiscard]] size_t live() const noexcept { return live_.load(); }
  [[nodiscard]] uint32_t in_flight() const noexcept { return in_flight_.load(); }

private:
  static constexpr size_t parts = 64;
  struct part {
    std::mutex mutex;
    std::unordered_map<entity_id, std::shared_ptr<entry>> entries;
  };

  /// Outlives the region, in the functors attached to its actors.
  struct shared {
    std::array<part, parts> map;
    std::atomic<size_t> live{0};
    observer seen;
  };

  static part& part_of(shared& s, const entity_id& id) noexcept;
  static void forget(shared& s, const entity_id& id, caf::actor_id which);

  const region_limits limits_;
  const cluster::routes& routes_;
  std::array<factory, 9> factories_;
  std::shared_ptr<shared> shared_;
  std::atomic<size_t>& live_;
  std::atomic<uint32_t> in_flight_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace kgents::runtime
