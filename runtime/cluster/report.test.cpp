#define CAF_SUITE report

#include "runtime/cluster/report.hpp"

#include "runtime/cluster/members.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents;
using namespace kgents::runtime::cluster;

namespace {

constexpr node_id a{11};
constexpr node_id b{12};
constexpr node_id gone{7};

/// Seen by a: it owns half, b a quarter, a dead node the next eighth, and nobody the rest.
struct fixture {
  cluster_status seen;

  fixture() {
    seen.self = a;
    seen.state = member_state::up;
    seen.view.version = 5;
    add(b, "node-b", member_state::joining).host = "fd00::2";
    add(a, "node-a", member_state::joining).host = "10.0.0.1";
    add(gone, "node-b", member_state::dead).host = "10.0.0.9";
    own(a, 0, 512);
    own(b, 512, 768);
    own(gone, 768, 896);
    seen.linked = {b};
    seen.moves.push_back({.to = b, .shards = 64, .since = std::chrono::milliseconds{1000}});
    seen.held = 448;
    seen.in_transit = 64;
  }

  cluster_member& add(node_id id, std::string name, member_state state) {
    cluster_member x;
    x.id = id;
    x.name = std::move(name);
    x.port = 4710;
    x.roles = {"gateway", "kgent"};
    x.state = state;
    x.beat = id.value * 10;
    return seen.view.members.emplace_back(std::move(x));
  }

  void own(node_id who, size_t from, size_t to) {
    for (auto i = from; i < to; ++i)
      seen.view.leases[i] = {who, 3};
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(report_tests, fixture)

CAF_TEST(a report names each life of a node and what it owns) {
  const auto x = make_report("blue", seen, std::chrono::milliseconds{1250});
  CAF_CHECK_EQUAL(x.cluster, "blue");
  CAF_CHECK_EQUAL(x.self.value, a.value);
  CAF_CHECK_EQUAL(x.version, 5u);
  CAF_CHECK_EQUAL(x.free_shards, 128u);
  CAF_REQUIRE_EQUAL(x.nodes.size(), 3u);
  CAF_CHECK_EQUAL(x.nodes[0].name, "node-a");
  CAF_CHECK(x.nodes[0].state == member_state::up);  // what it knows of itself is newer
  CAF_CHECK(x.nodes[0].linked);
  CAF_CHECK_EQUAL(x.nodes[0].shards, 512u);
  CAF_CHECK_EQUAL(x.nodes[0].address, "10.0.0.1:4710");
  CAF_CHECK(x.nodes[1].id == gone);
  CAF_CHECK_EQUAL(x.nodes[1].shards, 128u);
  CAF_CHECK(!x.nodes[1].linked);
  CAF_CHECK(x.nodes[2].id == b);
  CAF_CHECK(x.nodes[2].state == member_state::joining);
  CAF_CHECK(x.nodes[2].linked);
  CAF_CHECK_EQUAL(x.nodes[2].address, "[fd00::2]:4710");
  CAF_CHECK_EQUAL(x.nodes[2].beat, 120u);
  CAF_REQUIRE_EQUAL(x.moves.size(), 1u);
  CAF_CHECK_EQUAL(x.moves[0].from, "node-a");
  CAF_CHECK_EQUAL(x.moves[0].to, "node-b");
  CAF_CHECK_EQUAL(x.moves[0].shards, 64u);
  CAF_CHECK_EQUAL(x.moves[0].seconds, 0.25);
}

CAF_TEST(figures count the living links and the dead nodes) {
  const auto x = make_figures(seen);
  CAF_CHECK(x.self == member_state::up);
  CAF_CHECK(x.nodes == (std::array<size_t, 4>{1, 1, 0, 1}));
  CAF_CHECK_EQUAL(x.shards, 448u);
  CAF_CHECK_EQUAL(x.moving, 64u);
  CAF_CHECK_EQUAL(x.free_shards, 128u);
  CAF_CHECK_EQUAL(x.links_up, 1u);
  CAF_CHECK_EQUAL(x.links_down, 0u);
  seen.linked.clear();
  CAF_CHECK_EQUAL(make_figures(seen).links_down, 1u);
}

CAF_TEST(a table has a line for each living node and one for what they do not own) {
  const auto table = shards_per_node(seen.view);
  CAF_CHECK_EQUAL(to_json(table), R"({"node-a":512,"node-b":256,"-":256})");
  const auto lines = to_text(table);
  CAF_REQUIRE_EQUAL(lines.size(), 3u);
  CAF_CHECK_EQUAL(lines[0], "node-a   512  ################");
  CAF_CHECK_EQUAL(lines[1], "node-b   256  ########");
  CAF_CHECK_EQUAL(lines[2], "-        256  ########");
}

CAF_TEST(a table without a loose shard ends with the nodes) {
  own(b, 512, shard_count);
  add(node_id{13}, "node-c", member_state::joining);
  const auto table = shards_per_node(seen.view);
  CAF_CHECK_EQUAL(to_json(table), R"({"node-a":512,"node-b":512,"node-c":0})");
  CAF_CHECK_EQUAL(to_text(table).back(), "node-c     0");
}

CAF_TEST_FIXTURE_SCOPE_END()
