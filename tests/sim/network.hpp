#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "protocol/cluster.hpp"
#include "tests/sim/database.hpp"
#include "tests/sim/timeline.hpp"

namespace kgents::sim {

class process;

/// What is said between two processes; carried out by the one that hears it.
using frame = std::function<void(process& receiver, node_id from)>;

/// The links between processes, as runtime/cluster/transport.hpp promises them: in order while a
/// link lasts, found dead within `silent_after`, made anew when both sides want it.
class network {
public:
  network(timeline& time, dice& rng, const double& slow_frames,
          std::vector<std::unique_ptr<process>>& all)
      : time_{time}, rng_{rng}, slow_frames_{slow_frames}, all_{all} {}

  void identify(process& who, node_id self);
  void keep(process& who, std::set<node_id> wanted);
  bool send(process& from, node_id to, frame what);
  [[nodiscard]] bool linked(const process& who, node_id peer) const;

  /// \name Faults
  /// @{
  void block(process_number from, process_number to);
  void unblock(process_number from, process_number to);
  void unblock_all();
  /// One link breaks; it may be made again at once.
  void break_one(process_number a, process_number b);
  void killed(process& who);
  void paused(process& who);
  /// @}

  /// Looks for links to be made; called every now and then.
  void dial(process& who);

private:
  struct connection {
    process_number ends[2];
    node_id ids[2];
    bool open[2] = {true, true};
    sim_time last[2]{};         // arrival of the last frame to that end
    std::deque<frame> held[2];  // to that end, while the way there is blocked
  };
  using link = std::shared_ptr<connection>;

  [[nodiscard]] bool blocked(process_number from, process_number to) const {
    return blocked_.contains({from, to});
  }
  sim_time latency();
  [[nodiscard]] link find(const process& who, node_id peer) const;
  void arrive(const link& x, int end, frame what);
  void close(const link& x, int end);
  void silence(process_number from, process_number to);

  timeline& time_;
  dice& rng_;
  const double& slow_frames_;  // how many of them
  std::vector<std::unique_ptr<process>>& all_;
  std::map<process_number, std::set<node_id>> wanted_;
  std::vector<link> links_;
  std::map<std::pair<process_number, process_number>, uint64_t> blocked_;  // and since which block
  uint64_t blocks_ = 0;
};

}  // namespace kgents::sim
