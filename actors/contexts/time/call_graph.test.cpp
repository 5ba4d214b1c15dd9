#define CAF_SUITE call_graph

#include "actors/contexts/time/call_graph.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace {

const std::vector<call_edge> edges = {{"self.soul.chat", "self.memory.recall", 3},
                                      {"self.memory.recall", "void.entropy.sip", 1},
                                      {"void.entropy.sip", "self.soul.chat", 1},
                                      {"world.house.use", "self.memory.recall", 2},
                                      {"world.a.b", "world.c.d", 9}};

std::string told(const call_neighbourhood& x) {
  std::string out;
  for (const auto& node : x.nodes)
    out += (out.empty() ? "" : " ") + node.path + ":" + std::to_string(node.distance);
  return out;
}

}  // namespace

CAF_TEST(callers are followed up to the depth and not in circles) {
  const auto one = neighbourhood(edges, "self.memory.recall", 1, call_direction::callers);
  CAF_CHECK_EQUAL(told(one), "self.memory.recall:0 self.soul.chat:1 world.house.use:1");
  CAF_REQUIRE_EQUAL(one.edges.size(), 2u);
  CAF_CHECK_EQUAL(one.edges[0].calls, 3);
  const auto all = neighbourhood(edges, "self.memory.recall", 9, call_direction::callers);
  CAF_CHECK_EQUAL(told(all),
                  "self.memory.recall:0 self.soul.chat:1 world.house.use:1 void.entropy.sip:2");
  CAF_CHECK_EQUAL(all.edges.size(), 4u);
}

CAF_TEST(callees go the other way) {
  const auto x = neighbourhood(edges, "world.house.use", 2, call_direction::callees);
  CAF_CHECK_EQUAL(told(x), "world.house.use:0 self.memory.recall:1 void.entropy.sip:2");
}

CAF_TEST(a node stands for its aspects and not for nodes below it) {
  const auto x = neighbourhood(edges, "world.a", 1, call_direction::callees);
  CAF_CHECK_EQUAL(told(x), "world.a:0 world.a.b:0 world.c.d:1");
  CAF_CHECK(belongs_to("world.a.b", "world.a"));
  CAF_CHECK(!belongs_to("world.ab.c", "world.a"));
  CAF_CHECK(!belongs_to("world.a.b.c", "world.a"));
  CAF_CHECK(!belongs_to("world.a.", "world.a"));
}

CAF_TEST(who is not in the graph is alone) {
  const auto x = neighbourhood(edges, "time.trace.witness", 5, call_direction::callers);
  CAF_CHECK_EQUAL(told(x), "time.trace.witness:0");
  CAF_CHECK(x.edges.empty());
  CAF_CHECK_EQUAL(told(neighbourhood(edges, "self.soul.chat", 0, call_direction::callees)),
                  "self.soul.chat:0");
}

CAF_TEST(a crowd is cut and says so) {
  std::vector<call_edge> crowd;
  for (int i = 0; i < 1000; ++i)
    crowd.push_back({"world.n" + std::to_string(i) + ".x", "world.hub.x", 1});
  const auto x = neighbourhood(crowd, "world.hub.x", 3, call_direction::callers);
  CAF_CHECK(x.cut);
  CAF_CHECK_EQUAL(x.nodes.size(), most_graph_nodes);
}

CAF_TEST(a difference names what came and went and stayed) {
  const auto x = difference({"a", "b"}, {"b", "c"});
  CAF_CHECK(x.added == std::vector<std::string>{"c"});
  CAF_CHECK(x.removed == std::vector<std::string>{"a"});
  CAF_CHECK(x.unchanged == std::vector<std::string>{"b"});
}
