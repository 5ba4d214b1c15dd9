#define CAF_SUITE node_store

#include "actors/contexts/node_store.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace {

node_ptr node(std::string path, int64_t version) {
  auto out = std::make_shared<stored_node>();
  out->path = std::move(path);
  out->version = version;
  return out;
}

struct fixture {
  node_cache cache{3};

  int64_t version(std::string_view path) {
    const auto x = cache.find(path);
    return !x ? -1 : *x == nullptr ? 0 : (*x)->version;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(node_store_tests, fixture)

CAF_TEST(the least recently used goes out first) {
  for (const auto path : {"world.a", "world.b", "world.c"})
    cache.put(path, node(path, 1));
  (void)cache.find("world.a");
  cache.put("world.d", nullptr);
  CAF_CHECK_EQUAL(version("world.a"), 1);
  CAF_CHECK_EQUAL(version("world.b"), -1);
  CAF_CHECK_EQUAL(version("world.d"), 0);
  CAF_CHECK_EQUAL(cache.size(), 3u);
}

CAF_TEST(a few large nodes fill it too) {
  node_cache small{100, 1000};
  for (const auto path : {"world.a", "world.b", "world.c"}) {
    auto large = std::make_shared<stored_node>();
    large->json_bytes = 600;
    small.put(path, std::move(large));
  }
  CAF_CHECK_EQUAL(small.size(), 1u);
  CAF_CHECK(small.find("world.c").has_value());
  small.put("world.c", nullptr);
  small.put("world.d", nullptr);
  CAF_CHECK_EQUAL(small.size(), 2u);
}

CAF_TEST(a read does not overwrite what was written since it began) {
  const auto began = cache.generation();
  {
    node_cache::writing now{cache, "world.a"};
    now.committed(node("world.a", 2));
  }
  cache.put_read(began, "world.a", node("world.a", 1));
  CAF_CHECK_EQUAL(version("world.a"), 2);
  cache.put_read(cache.generation(), "world.b", node("world.b", 1));
  CAF_CHECK_EQUAL(version("world.b"), 1);
}

CAF_TEST(a read beside a write is not kept) {
  node_cache::writing now{cache, "world.a"};
  const auto began = cache.generation();
  now.committed(node("world.a", 2));
  { node_cache::writing other{cache, "world.b"}; }
  cache.put_read(began, "world.a", node("world.a", 1));
  CAF_CHECK_EQUAL(version("world.a"), 2);
}

CAF_TEST(after a write of unknown outcome nothing read is trusted for a while) {
  cache.put("world.a", node("world.a", 1));
  { node_cache::writing now{cache, "world.a"}; }
  CAF_CHECK_EQUAL(version("world.a"), -1);
  cache.put_read(cache.generation(), "world.a", node("world.a", 1));
  CAF_CHECK_EQUAL(version("world.a"), -1);
}

CAF_TEST_FIXTURE_SCOPE_END()
