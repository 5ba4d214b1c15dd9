#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "protocol/entity.hpp"
#include "runtime/session_log.hpp"
#include "tests/sim/client.hpp"
#include "tests/sim/database.hpp"
#include "tests/sim/network.hpp"
#include "tests/sim/process.hpp"
#include "tests/sim/timeline.hpp"

namespace kgents::sim {

struct options {
  uint64_t seed = 0;
  bool trace = false;
  std::string broken;  ///< what is done wrong on purpose, to see that it is found
};

/// What is wrong with PostgreSQL at present.
struct fault_state {
  bool slow_database = false;
  bool database_away = false;
  bool database_hangs = false;  ///< … without refusing: callers wait for their deadlines
  bool lose_answers = false;    ///< some calls are carried out and nobody hears of it
  std::set<process_number> cut_from_database;
};

/// What this run is about: runs that stress one thing find more than runs that do all alike (swarm
/// testing; Groce and others, 2012).
struct emphasis {
  double slow_frames = 0.02;   ///< of those between nodes
  double slow_commits = 0;     ///< of batches of chunks
  double slow_hops = 0;        ///< between threads of a node
  double lost_answers = 0.02;  ///< while answers are lost
  uint32_t fault_kinds = 0;    ///< one bit a kind
};

/// One run: nodes, PostgreSQL, links, clients and what happens to them, all from one seed.
struct world {
  explicit world(options how);
  ~world();

  /// Throws a violation.
  void run();

  [[nodiscard]] const entity_id& entity(size_t which) const { return entities_[which]; }
  [[nodiscard]] shard_id shard(size_t which) const { return shards_[which]; }
  [[nodiscard]] size_t session_of(const entity_id& id) const;
  [[nodiscard]] static turn_id turn(size_t which, uint64_t number);
  [[nodiscard]] uint32_t chunks_of(turn_id turn) const;
  [[nodiscard]] static std::string text_of(turn_id turn, uint32_t index, lease_epoch epoch);
  [[nodiscard]] const std::vector<std::string>& roles_of(process_number number) const;
  [[nodiscard]] std::optional<std::vector<turn_row>> unfinished(size_t which) const;
  /// Leases that no transaction holds just now: take and give leave the others out.
  [[nodiscard]] std::vector<shard_id> unlocked(std::vector<shard_id> shards);
  [[nodiscard]] bool broken(std::string_view what) const { return how.broken == what; }
  /// LISTEN/NOTIFY, which may be lost.
  void tell_changes();
  void say(const std::string& what) const;
  /// A node that a balancer would send somebody to.
  [[nodiscard]] process* some_node();

  const options how;
  std::vector<std::unique_ptr<runtime::session_logs>> logs;  // outlive all that holds a log
  dice rng;
  timeline time;
  database db;
  std::vector<std::unique_ptr<process>> nodes;
  network net;
  fault_state faults;
  emphasis stress;
  std::vector<std::unique_ptr<poster>> posters;
  std::vector<std::unique_ptr<follower>> followers;
  uint64_t moved_sessions = 0;

private:
  void plan_faults(sim_time until);
  void one_fault(sim_time until);
  void choose_emphasis();
  void heal();
  void look();
  void check_owners() const;
  void check_answers() const;

  std::vector<entity_id> entities_;
  std::vector<shard_id> shards_;
  sim_time calm_since_ = sim_time::max();
};

}  // namespace kgents::sim
