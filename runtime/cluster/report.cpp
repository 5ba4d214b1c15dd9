#include "runtime/cluster/report.hpp"

#include <algorithm>

#include "runtime/cluster/members.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

namespace {

constexpr size_t bar_width = 32;

std::string address_of(const cluster_member& x) {
  if (x.host.empty())
    return {};
  const bool v6 = x.host.find(':') != std::string::npos;
  return (v6 ? "[" + x.host + "]" : x.host) + ":" + std::to_string(x.port);
}

std::string name_of(const cluster_view& view, node_id id) {
  const auto* member = view.find(id);
  return member != nullptr ? member->name : std::to_string(id.value);
}

bool contains(const std::vector<node_id>& all, node_id x) {
  return std::find(all.begin(), all.end(), x) != all.end();
}

}  // namespace

cluster_report make_report(std::string cluster, const cluster_status& x,
                           std::chrono::milliseconds now) {
  cluster_report out;
  out.cluster = std::move(cluster);
  out.self = x.self;
  out.version = x.view.version;
  out.leases = x.view.leases;
  for (const auto& m : x.view.members)
    out.nodes.push_back({.id = m.id,
                         .name = m.name,
                         .address = address_of(m),
                         .roles = m.roles,
                         .state = m.id == x.self ? x.state : m.state,
                         .shards = 0,
                         .linked = m.id == x.self || contains(x.linked, m.id),
                         .beat = m.beat,
                         .drain_requested = m.drain_requested});
  std::sort(out.nodes.begin(), out.nodes.end(), [](const auto& a, const auto& b) {
    return std::tie(a.name, a.id) < std::tie(b.name, b.id);
  });
  for (const auto& lease : x.view.leases) {
    if (!lease.owner) {
      ++out.free_shards;
      continue;
    }
    const auto owner = std::find_if(out.nodes.begin(), out.nodes.end(),
                                    [&](const auto& node) { return node.id == lease.owner; });
    if (owner != out.nodes.end())
      ++owner->shards;
  }
  const auto from = name_of(x.view, x.self);
  for (const auto& m : x.moves)
    out.moves.push_back({.from = from,
                         .to = name_of(x.view, m.to),
                         .shards = m.shards,
                         .seconds = std::chrono::duration<double>(now - m.since).count()});
  return out;
}

cluster_metrics::seen make_figures(const cluster_status& x) {
  cluster_metrics::seen out;
  out.self = x.state;
  out.shards = x.held;
  out.moving = x.in_transit;
  for (const auto& m : x.view.members) {
    const auto state = m.id == x.self ? x.state : m.state;
    ++out.nodes[static_cast<size_t>(state)];
    if (m.id != x.self && m.state != member_state::dead)
      ++(contains(x.linked, m.id) ? out.links_up : out.links_down);
  }
  out.free_shards = static_cast<size_t>(
      std::count_if(x.view.leases.begin(), x.view.leases.end(),
                    [](const shard_lease& lease) { return !lease.owner; }));
  return out;
}

shard_table shards_per_node(const cluster_view& x) {
  struct row {
    node_id id;
    std::string name;
    size_t shards = 0;
  };
  std::vector<row> rows;
  for (const auto& m : x.members)
    if (m.state != member_state::dead)
      rows.push_back({m.id, m.name});
  std::sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
    return std::tie(a.name, a.id) < std::tie(b.name, b.id);
  });
  size_t others = 0;
  for (const auto& lease : x.leases) {
    const auto owner = std::find_if(rows.begin(), rows.end(),
                                    [&](const row& one) { return one.id == lease.owner; });
    ++(owner != rows.end() ? owner->shards : others);
  }
  shard_table out;
  for (auto& one : rows)
    out.emplace_back(std::move(one.name), one.shards);
  if (others > 0)
    out.emplace_back("-", others);
  return out;
}

std::string to_json(const shard_table& x) {
  std::string out = "{";
  for (const auto& [name, shards] : x) {
    if (out.size() > 1)
      out += ',';
    log::append_json_string(out, name);
    out += ':' + std::to_string(shards);
  }
  return out + '}';
}

std::vector<std::string> to_text(const shard_table& x) {
  size_t width = 0;
  for (const auto& [name, shards] : x)
    width = std::max(width, name.size());
  std::vector<std::string> out;
  for (const auto& [name, shards] : x) {
    auto line = name + std::string(width - name.size() + 2, ' ');
    const auto digits = std::to_string(shards);
    line += std::string(4 - std::min<size_t>(4, digits.size()), ' ') + digits;
    if (const auto bar = (shards * bar_width + shard_count / 2) / shard_count; bar > 0)
      line += "  " + std::string(bar, '#');
    out.push_back(std::move(line));
  }
  return out;
}

void shard_log::look(const cluster_view& x) {
  auto table = shards_per_node(x);
  if (table.empty() || table == said_)
    return;
  if (form_ == log_form::json) {
    log::info("shards", {log::field::json("nodes", to_json(table))});
  } else {
    for (const auto& line : to_text(table))
      log::info("shards  " + line);
  }
  said_ = std::move(table);
}

}  // namespace kgents::runtime::cluster
