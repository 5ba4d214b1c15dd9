// The operator's view of the cluster: who is there, who owns what, and sending a node away
// (design.md section 5). To anybody but the operator these routes do not exist.

#include <boost/asio/post.hpp>
#include <boost/json/array.hpp>

#include "gateway/route.hpp"
#include "gateway/shapes.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

using runtime::cluster::cluster_report;

constexpr field view_query[] = {
    {.name = "shards",
     .type = value_type::boolean,
     .default_json = "false",
     .meaning = "also owner and epoch of each shard"},
};

json::object node_json(const cluster_report::node& x) {
  json::array roles;
  for (const auto& role : x.roles)
    roles.emplace_back(role);
  return {{"id", x.id.value},
          {"name", x.name},
          {"address", x.address.empty() ? json::value{} : json::value(x.address)},
          {"roles", std::move(roles)},
          {"state", to_string(x.state)},
          {"shards", x.shards},
          {"linked", x.linked},
          {"beat", x.beat},
          {"drain_requested", x.drain_requested}};
}

json::array shards_json(const kgents::shard_leases& leases) {
  json::array out;
  out.reserve(leases.size());
  for (size_t i = 0; i < leases.size(); ++i) {
    const auto& x = leases[i];
    out.push_back(json::object{{"shard", i},
                               {"owner", x.owner ? json::value(x.owner.value) : json::value{}},
                               {"epoch", x.epoch}});
  }
  return out;
}

void view(const call_ptr& c) {
  const auto now = c->at.cluster.report();
  json::array nodes;
  for (const auto& x : now.nodes)
    nodes.push_back(node_json(x));
  json::array moves;
  for (const auto& x : now.moves)
    moves.push_back(json::object{
        {"from", x.from}, {"to", x.to}, {"shards", x.shards}, {"seconds", x.seconds}});
  json::object out{{"cluster", now.cluster},
                   {"self", now.self.value},
                   {"version", now.version},
                   {"nodes", std::move(nodes)},
                   {"moves", std::move(moves)},
                   {"free_shards", now.free_shards}};
  if (c->query.at("shards").as_bool())
    out["shards"] = shards_json(now.leases);
  c->reply_json(200, out);
}

/// Why a node of that name cannot be asked to leave, as far as is known here. A name has one living
/// node at most, and dead ones before it.
std::optional<refusal> cannot_leave(const cluster_report& now, std::string_view name) {
  for (const auto& x : now.nodes) {
    if (x.name != name || x.state == member_state::dead)
      continue;
    if (x.state == member_state::leaving || x.drain_requested)
      return refusal{409, "Node is already leaving", 0, ""};
    return std::nullopt;
  }
  return refusal{404, "Node not found", 0, ""};
}

void drain(const call_ptr& c) {
  const auto& name = c->segments[0];
  if (const auto why = cannot_leave(c->at.cluster.report(), name)) {
    c->refuse(*why);
    return;
  }
  c->at.cluster.drain(name, [c](std::optional<refusal> why) {
    boost::asio::post(c->x->thread().context(), [c, why = std::move(why)] {
      if (why)
        c->refuse(*why);
      else
        c->reply_json(202, json::object{{"name", c->segments[0]}, {"status", "leaving"}});
    });
  });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/cluster",
     .tag = "cluster",
     .summary = "Nodes, their states and shards, and hand-offs under way, as the answering node "
                "sees them",
     .who = access::platform,
     .query = view_query,
     .answer = &cluster_shape,
     .handle = view},
    {.method = "POST",
     .path = "/v1/cluster/nodes/{name}/drain",
     .tag = "cluster",
     .summary = "Asks a node to hand its sessions to the others and to leave; 409 when it is "
                "leaving already",
     .who = access::platform,
     .answer = &drain_shape,
     .success = 202,
     .handle = drain},
};

}  // namespace

std::span<const route> cluster_routes() { return table; }

}  // namespace kgents::gateway
