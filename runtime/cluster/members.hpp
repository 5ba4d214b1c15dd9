#pragma once

#include <atomic>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "runtime/cluster/arrivals.hpp"
#include "runtime/cluster/coordinator.hpp"
#include "runtime/cluster/mesh.hpp"
#include "runtime/cluster/routes.hpp"
#include "runtime/pinned_actor.hpp"
#include "runtime/port.hpp"
#include "sql/cluster.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime::cluster {

/// A statement of membership or leases: shorter than a heartbeat's interval, so that one that hangs
/// does not keep the next from being tried.
inline constexpr auto query_deadline = std::chrono::milliseconds{1500};

/// What this node knows of the cluster, at one moment.
struct cluster_status {
  node_id self;
  member_state state = member_state::joining;
  cluster_view view;  ///< its leases: the newest that are known
  std::vector<node_id> linked;
  std::vector<coordinator::move> moves;
  size_t held = 0;      ///< shards that this node serves
  size_t in_transit = 0;///< … that are on their way to or from it
};

/// What happens to the cluster, for metrics and logs. Called on the cluster's thread.
struct members_probe {
  std::function<void()> changed = [] {};  ///< owners or members
  std::function<void(double seconds, size_t sessions)> handed_off = [](double, size_t) {};
  std::function<void(double seconds)> failed_over = [](double) {};
};

/// Runs this node's coordinator: feeds it with what PostgreSQL, the links and the entities say, and
/// carries its decisions out.
///
/// An actor pinned to the cluster's thread, where the mesh lives too.
class members : public pinned_actor {
public:
  struct parts {
    sql::pool* control = nullptr;
    cluster::routes* routes = nullptr;
    region* entities = nullptr;
    runtime::ports* ports = nullptr;
    cluster::mesh* mesh = nullptr;
    cluster::arrivals* arrivals = nullptr;
    session_logs* logs = nullptr;
    std::function<void(member_state)> state_changed;
    /// Nothing is ours any more, or nobody is there to take it.
    std::function<void()> drained;
    /// This process must end: another one has its name.
    std::function<void(const std::string&)> stop;
    members_probe probe;
  };
  struct identity {
    coordinator::identity who;
    std::string host;
    uint16_t port = 0;
  };

  members(caf::actor_config& config, io_unit* unit, identity who, timing numbers, parts with);

  const char* name() const override { return "members"; }
  caf::behavior make_behavior() override;
  void on_exit() override;

  /// From any thread.
  /// An entity of ours was refused by PostgreSQL: if its shard is ours nevertheless, it goes on.
  void look_after(const entity_id& id);
  void drain();
  void poke();
  [[nodiscard]] std::shared_ptr<const cluster_status> status() const { return status_.load(); }
  [[nodiscard]] node_id self() const noexcept { return node_id{self_.load()}; }

  /// What the mesh is told to call; on the cluster's thread.
  [[nodiscard]] mesh::handlers handlers();

private:
  struct departure {
    std::chrono::steady_clock::time_point began;
    std::vector<shard_id> shards;
    std::unordered_map<entity_id, caf::actor> staying;  // not gone yet
    std::vector<moving_turn> turns;
    size_t sessions = 0;
  };

  void happened(event what);
  void carry_out(const actions& all);
  void refresh_routes();
  void publish();
  void tick();
  template <class T, class Done>
  void query(sql::query<T> what, Done done);

  void carry(const cluster::join&);
  void carry(const beat& x);
  void carry(const read_view&);
  void carry(const keep_links& x);
  void carry(const suspect& x);
  void carry(const trust& x);
  void carry(const declare_dead& x);
  void carry(const take_leases& x);
  void carry(const own_shards& x);
  void carry(const release_shards& x);
  void carry(const give_leases& x);
  void carry(const send_snapshots& x);
  void carry(const keep_shards& x);
  void carry(const lose_shards& x);
  void carry(const routes_changed&) {}
  void carry(const poke_peers&);
  void carry(const fenced& x);
  void carry(const state_changed& x);
  void carry(const drained&);
  void carry(const cluster::stop& x);

  void saw(sql::answer<sql::cluster::seen> out, bool beaten);
  void left(uint64_t hand_off, const entity_id& session, const departed& x);
  void forget_departures(const std::vector<shard_id>& shards);
  void stayed(uint64_t hand_off, const entity_id& session);
  void released(uint64_t hand_off);
  void go_on_here(const std::vector<moving_turn>& turns);
  void activate(const entity_id& session);
  void recover();
  void activate_again();

  const identity identity_;
  const parts parts_;
  coordinator machine_;
  std::vector<event> events_;  // that came while others were carried out
  bool busy_ = false;
  bool stopped_ = false;
  std::unordered_map<uint64_t, departure> departures_;
  std::vector<shard_id> to_recover_;
  bool recovering_ = false;
  std::unordered_set<entity_id> to_activate_;  // it was refused
  std::optional<std::chrono::steady_clock::time_point> lost_at_;  // a peer's link, lately
  std::string said_;  // the last reason that was logged for not getting on
  wheel_timer timer_;
  uint64_t ticks_ = 0;
  std::atomic<uint64_t> self_{0};
  std::atomic<std::shared_ptr<const cluster_status>> status_;
};

/// The answer comes on the pool's thread and is dealt with on ours.
template <class T, class Done>
void members::query(sql::query<T> what, Done done) {
  what.work.deadline = std::chrono::steady_clock::now() + query_deadline;
  sql::run(*parts_.control, std::move(what),
           [this, keep = caf::strong_actor_ptr{ctrl()}, done](sql::answer<T> out) {
             boost::asio::post(unit()->thread().context(),
                               [keep, done, out = std::make_shared<sql::answer<T>>(
                                                std::move(out))] { done(*out); });
           });
}

}  // namespace kgents::runtime::cluster
