#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "protocol/cluster.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/cluster_metrics.hpp"

/// What the operator sees of a cluster: the answer of GET /v1/cluster, the metrics, a log line.
namespace kgents::runtime::cluster {

struct cluster_status;

/// A cluster as one of its nodes sees it at one moment, ready to be shown.
struct cluster_report {
  struct node {
    node_id id;
    std::string name;
    std::string address;  ///< host:port of its peer link; empty: a cluster of one
    std::vector<std::string> roles;
    member_state state = member_state::joining;
    size_t shards = 0;
    bool linked = false;  ///< the reporting node reaches it (itself: always)
    uint64_t beat = 0;
    bool drain_requested = false;
  };
  /// A hand-off that the reporting node has under way.
  struct move {
    std::string from;
    std::string to;
    size_t shards = 0;
    double seconds = 0;  ///< since it began
  };

  std::string cluster;
  node_id self;
  uint64_t version = 0;
  std::vector<node> nodes;  ///< by name, then by id; the dead of the last minutes too
  std::vector<move> moves;
  size_t free_shards = 0;
  shard_leases leases;
};

/// Pure. `now`: milliseconds of this process's steady clock, the one that moves are dated by.
[[nodiscard]] cluster_report make_report(std::string cluster, const cluster_status& x,
                                         std::chrono::milliseconds now);

/// The same for the metrics.
[[nodiscard]] cluster_metrics::seen make_figures(const cluster_status& x);

/// Name and number of shards of every node that is not dead, by name. Shards of nobody, and of
/// owners that are dead or unknown, are in a last line named `-` when there are any.
using shard_table = std::vector<std::pair<std::string, size_t>>;
[[nodiscard]] shard_table shards_per_node(const cluster_view& x);

/// {"node-a":512,"node-b":512}
[[nodiscard]] std::string to_json(const shard_table& x);

/// One line a node, aligned, with a bar as long as its part of the shards.
[[nodiscard]] std::vector<std::string> to_text(const shard_table& x);

/// Tells the log whenever the table is another than the one it told last. One thread.
class shard_log {
public:
  explicit shard_log(log_form form) : form_{form} {}

  void look(const cluster_view& x);

private:
  const log_form form_;
  shard_table said_;
};

}  // namespace kgents::runtime::cluster
