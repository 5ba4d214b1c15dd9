#include "runtime/telemetry/cluster_metrics.hpp"

#include <prometheus/family.h>
#include <prometheus/registry.h>

#include <string>

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

constexpr member_state states[] = {member_state::joining, member_state::up, member_state::leaving,
                                   member_state::dead};

// The goals lie within: 0.1 s and 0.5 s for a hand-off, 3 s for a crash (which is noticed after up
// to 6 s when only silence tells).
const Histogram::BucketBoundaries handoff{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5};
const Histogram::BucketBoundaries failover{0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 15, 30};

Counter& counter(Registry& registry, const char* name, const char* help,
                 const prometheus::Labels& labels = {}) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(labels);
}

Gauge& gauge(Registry& registry, const char* name, const char* help,
             const prometheus::Labels& labels = {}) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
}

Histogram& histogram(Registry& registry, const char* name, const char* help,
                     const Histogram::BucketBoundaries& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

std::array<Gauge*, 4> by_state(Registry& registry, const char* name, const char* help) {
  std::array<Gauge*, 4> out{};
  for (const auto x : states)
    out[static_cast<size_t>(x)] =
        &gauge(registry, name, help, {{"state", std::string{to_string(x)}}});
  return out;
}

Counter& frames(Registry& registry, const char* kind) {
  return counter(registry, "kgents_cluster_forwarded_total",
                 "Messages to other nodes: asked, passed on for others, told.", {{"kind", kind}});
}

Counter& bytes(Registry& registry, const char* direction) {
  return counter(registry, "kgents_cluster_link_bytes_total", "Bytes over links between nodes.",
                 {{"direction", direction}});
}

Gauge& links(Registry& registry, const char* state) {
  return gauge(registry, "kgents_cluster_links", "Links to the other nodes.", {{"state", state}});
}

}  // namespace

void followed_counter::follow(uint64_t total) {
  std::lock_guard guard{mutex_};
  if (total <= seen_)
    return;
  counter_.Increment(static_cast<double>(total - seen_));
  seen_ = total;
}

cluster_metrics::cluster_metrics(Registry& registry)
    : moved_sessions{counter(registry, "kgents_cluster_moved_sessions_total",
                             "Sessions that left this node in a hand-off.")},
      fenced{counter(registry, "kgents_cluster_fenced_total",
                     "Entities stopped because their lease was another's.")},
      handoff_seconds{histogram(registry, "kgents_handoff_seconds",
                                "From the freeze of a hand-off's shards to their new owner.",
                                handoff)},
      failover_seconds{histogram(registry, "kgents_failover_seconds",
                                 "From the loss of a node, as seen here, to its shards being ours.",
                                 failover)},
      feeds{gauge(registry, "kgents_cluster_feeds", "Sessions fed to readers on other nodes.")},
      mirrors{
          gauge(registry, "kgents_cluster_mirrors", "Other nodes' sessions with readers here.")},
      waiting_asks{gauge(registry, "kgents_cluster_waiting_asks",
                         "Questions to other nodes without an answer yet.")},
      asked{frames(registry, "ask")},
      forwarded{frames(registry, "forward")},
      told{frames(registry, "tell")},
      refused_peers{counter(registry, "kgents_cluster_refused_peers_total",
                            "Connections of peers that were refused.")},
      bytes_in{bytes(registry, "in")},
      bytes_out{bytes(registry, "out")},
      nodes_{by_state(registry, "kgents_cluster_nodes", "Nodes of the cluster by state.")},
      state_{by_state(registry, "kgents_cluster_state", "1 for this node's own state.")},
      shards_{gauge(registry, "kgents_cluster_shards", "Shards that this node serves.")},
      moving_{gauge(registry, "kgents_cluster_shards_moving",
                    "Shards on their way to or from this node.")},
      free_{gauge(registry, "kgents_cluster_free_shards", "Shards that nobody owns.")},
      links_up_{links(registry, "up")},
      links_down_{links(registry, "down")} {}

void cluster_metrics::show(const seen& x) {
  for (const auto state : states) {
    const auto i = static_cast<size_t>(state);
    nodes_[i]->Set(static_cast<double>(x.nodes[i]));
    state_[i]->Set(state == x.self ? 1 : 0);
  }
  shards_.Set(static_cast<double>(x.shards));
  moving_.Set(static_cast<double>(x.moving));
  free_.Set(static_cast<double>(x.free_shards));
  links_up_.Set(static_cast<double>(x.links_up));
  links_down_.Set(static_cast<double>(x.links_down));
}

}  // namespace kgents::runtime
