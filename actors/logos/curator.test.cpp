#define CAF_SUITE curator

#include "actors/logos/curator.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents::actors;
namespace json = boost::json;

CAF_TEST(generations are curated but where they are left alone) {
  CAF_CHECK(is_curated("concept.justice", "dialectic"));
  CAF_CHECK(is_curated("world.house", "define"));
  CAF_CHECK(is_curated("self.memory", "compress"));
  CAF_CHECK(is_curated("world.agents", "spawn"));
  CAF_CHECK(!is_curated("concept.justice", "manifest"));
  CAF_CHECK(!is_curated("concept.justice", "witness"));
  CAF_CHECK(!is_curated("void.pataphysics", "solve"));
  CAF_CHECK(!is_curated("time.future", "fork"));
  CAF_CHECK(!is_curated("self.judgment", "refine"));
  CAF_CHECK(!is_curated("world.agent.a", "spawn"));
  CAF_CHECK(!is_curated("world.agent", "spawn"));
}

CAF_TEST(a value keeps its shape when something is blended into it) {
  const auto blend = json::parse(R"({"blended_space":["x"]})");
  CAF_CHECK_EQUAL(json::serialize(with_blend(json::parse(R"({"a":1})"), "t", blend)),
                  R"({"a":1,"blend":{"blended_space":["x"]}})");
  CAF_CHECK_EQUAL(json::serialize(with_blend("one", "two", blend)), R"("one\n\ntwo")");
  CAF_CHECK_EQUAL(json::serialize(with_blend(7, "two", blend)), "7");
  CAF_CHECK_EQUAL(json::serialize(with_blend(json::parse("[1]"), "two", blend)), "[1]");
}

CAF_TEST(a value keeps its shape when it is summarised) {
  CAF_CHECK_EQUAL(json::serialize(with_summary(json::parse(R"({"a":1})"), "s")),
                  R"({"a":1,"summary":"s"})");
  CAF_CHECK_EQUAL(json::serialize(with_summary("long", "s")), R"("s")");
  CAF_CHECK_EQUAL(json::serialize(with_summary(nullptr, "s")), "null");
}
