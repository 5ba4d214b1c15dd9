#define CAF_SUITE router

#include "gateway/router.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::gateway;

namespace {

constexpr std::pair<std::string_view, std::string_view> table[] = {
    {"GET", "/"},
    {"GET", "/agentese/discover"},
    {"GET", "/agentese/discover/{context}"},
    {"GET", "/agentese/{path*}/manifest"},
    {"POST", "/agentese/{path*}/{aspect}"},
    {"GET", "/agentese/{path*}/{aspect}/stream"},
    {"GET", "/agentese/{path*}/{aspect}"},
    {"GET", "/agentese/ws/{path*}"},
    {"GET", "/secret"},
};

struct fixture {
  router routes;
  bool operator_asks = false;

  fixture() {
    for (const auto& [method, path] : table)
      routes.add(method, path);
  }

  router::match find(std::string_view method, std::string_view path) const {
    return routes.find(method, path,
                       [this](size_t i) { return table[i].second != "/secret" || operator_asks; });
  }

  std::string_view path_of(std::string_view method, std::string_view path) const {
    const auto x = find(method, path);
    return x.route == router::match::none ? "none" : table[x.route].second;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(router_tests, fixture)

CAF_TEST(fixed segments come before those that stand for anything) {
  CAF_CHECK_EQUAL(path_of("GET", "/"), "/");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/discover"), "/agentese/discover");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/discover/world"), "/agentese/discover/{context}");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/discover/world/manifest"),
                  "/agentese/{path*}/manifest");
}

CAF_TEST(a star stands for one or more segments and the rest keeps its place) {
  const auto one = find("GET", "/agentese/self/manifest");
  CAF_REQUIRE_EQUAL(one.values.size(), 1u);
  CAF_CHECK_EQUAL(one.values[0], "self");
  const auto three = find("POST", "/agentese/self/memory/crystal/recall");
  CAF_REQUIRE_EQUAL(three.values.size(), 2u);
  CAF_CHECK_EQUAL(three.values[0], "self/memory/crystal");
  CAF_CHECK_EQUAL(three.values[1], "recall");
  const auto stream = find("GET", "/agentese/self/soul/dialogue/stream");
  CAF_CHECK_EQUAL(table[stream.route].second, "/agentese/{path*}/{aspect}/stream");
  CAF_CHECK_EQUAL(stream.values[0], "self/soul");
  CAF_CHECK_EQUAL(stream.values[1], "dialogue");
}

CAF_TEST(among equals the order of the table decides) {
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/world/house/manifest"), "/agentese/{path*}/manifest");
  CAF_CHECK_EQUAL(path_of("POST", "/agentese/world/house/manifest"), "/agentese/{path*}/{aspect}");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/world/stream"), "/agentese/{path*}/{aspect}");
}

CAF_TEST(an empty segment fits nothing) {
  CAF_CHECK_EQUAL(path_of("GET", "/agentese//manifest"), "none");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/self//manifest"), "none");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/self/soul/manifest/"), "none");
  CAF_CHECK_EQUAL(path_of("GET", "/agentese/discover/"), "none");
}

CAF_TEST(the last segment of a path may be the star) {
  const auto x = find("GET", "/agentese/ws/self");
  CAF_CHECK_EQUAL(table[x.route].second, "/agentese/{path*}/{aspect}");
  router alone;
  alone.add("GET", "/ws/{path*}");
  const auto y = alone.find("GET", "/ws/self/soul", [](size_t) { return true; });
  CAF_REQUIRE_EQUAL(y.route, 0u);
  CAF_CHECK_EQUAL(y.values[0], "self/soul");
  CAF_CHECK(alone.find("GET", "/ws", [](size_t) { return true; }).route == router::match::none);
}

CAF_TEST(another method is told which there are) {
  const auto x = find("DELETE", "/agentese/self/soul/manifest");
  CAF_CHECK(x.route == router::match::none);
  CAF_CHECK_EQUAL(x.allowed, "GET, POST");
  CAF_CHECK_EQUAL(path_of("HEAD", "/agentese/discover"), "/agentese/discover");
  CAF_CHECK_EQUAL(path_of("POST", "/agentese/discover/world"), "/agentese/{path*}/{aspect}");
}

CAF_TEST(a route that is not for who asks does not exist) {
  CAF_CHECK_EQUAL(path_of("GET", "/secret"), "none");
  CAF_CHECK(find("POST", "/secret").allowed.empty());
  operator_asks = true;
  CAF_CHECK_EQUAL(path_of("GET", "/secret"), "/secret");
}

CAF_TEST(a path of too many segments belongs to no route) {
  std::string path = "/agentese";
  for (size_t i = 0; i < router::max_segments; ++i)
    path += "/a";
  CAF_CHECK_EQUAL(path_of("GET", path), "none");
}

CAF_TEST_FIXTURE_SCOPE_END()
