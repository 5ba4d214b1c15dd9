#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/cluster.hpp"
#include "tests/sim/timeline.hpp"

/// PostgreSQL as the cluster sees it: the rules of the functions in sql/migrations (19-turns,
/// 20-cluster), each call at one moment.
namespace kgents::sim {

/// Which process it is, through all its lives.
using process_number = size_t;

struct fence {
  shard_id shard;
  lease_epoch epoch = 0;
};

struct member_row {
  cluster_member value;
  process_number process = 0;
  sim_time ended_at{};
};

enum class turn_status : uint8_t { queued, running, completed };

struct turn_row {
  turn_id id;
  turn_status status = turn_status::queued;
  lease_epoch epoch = 1;
  uint32_t inherited = 0;
  std::map<chunk_index, std::string> chunks;  // durable while it runs
  std::vector<std::string> answer;            // of the assistant message, once it has ended
  int messages = 0, api_calls = 0, llm_calls = 0;
  int batches = 0;  // commits under way that hold its row

  /// What is durable up to the first hole, or all of the answer.
  [[nodiscard]] std::vector<std::string> durable() const;
  [[nodiscard]] bool ended() const { return status == turn_status::completed; }
};

struct session_row {
  std::vector<turn_row> turns;  // in the order they were stored

  [[nodiscard]] turn_row* find(turn_id id);
};

struct chunk_row {
  size_t session = 0;
  turn_id turn;
  lease_epoch epoch = 0;
  chunk_index index = 0;
  std::string text;
  fence lease;
};

class database {
public:
  explicit database(const timeline& time) : time_{time} {}

  /// \name 20-cluster
  /// @{
  node_id join(const std::string& name, const std::vector<std::string>& roles, process_number who);
  [[nodiscard]] cluster_view view(uint64_t known) const;
  void beat(node_id self, member_state state);
  void suspect(node_id self, node_id target);
  void trust(node_id self, node_id target);
  void declare_dead(node_id self, node_id target, uint64_t beat);
  using epochs = std::vector<std::pair<shard_id, lease_epoch>>;
  epochs take(node_id self, const std::vector<shard_id>& shards);
  epochs give(node_id self, node_id to, const std::vector<shard_id>& shards);
  void leave(node_id self);
  void request_drain(const std::string& name);
  /// @}

  /// \name 19-turns. False or empty: the fence refused it.
  /// @{
  enum class begun : uint8_t { fenced, joined, started, queued, full };
  begun begin_turn(size_t session, turn_id turn, fence lease, process_number writer);
  struct claimed {
    bool fenced = false;
    std::optional<lease_epoch> epoch;  // none: it has ended
    std::vector<std::string> durable;
  };
  claimed claim_turn(size_t session, turn_id turn, fence lease, process_number writer);
  enum class end_outcome : uint8_t { ended, old_turn, fenced };
  end_outcome end_turn(size_t session, turn_id turn, lease_epoch epoch,
                       std::vector<std::string> answer, fence lease, process_number writer);
  /// Takes those that may not be written out of `rows`, and holds the turns of the others until
  /// `commit`.
  std::vector<turn_id> check_chunks(std::vector<chunk_row>& rows, process_number writer);
  void commit_chunks(const std::vector<chunk_row>& rows);
  /// @}

  std::vector<session_row> sessions;
  shard_leases leases{};
  std::vector<member_row> members;
  std::vector<uint64_t> changes;  // versions to be notified of
  bool fence_is_off = false;      // on purpose

  [[nodiscard]] const member_row* find(node_id id) const;

private:
  member_row* find(node_id id);
  bool counts(node_id id) const;
  bool lives(node_id id) const;
  void bury(member_row& x);
  void changed();
  bool admits(fence lease, process_number writer);

  const timeline& time_;
  uint64_t version_ = 1;
  uint64_t next_node_ = 0;
  std::map<std::pair<uint16_t, lease_epoch>, process_number> writers_;
};

}  // namespace kgents::sim
