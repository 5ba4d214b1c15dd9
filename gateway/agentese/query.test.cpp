#define CAF_SUITE query

#include "gateway/agentese/query.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::gateway;

namespace json = boost::json;

namespace {

struct fixture {
  std::vector<std::string> defined{"world.boat", "world.house", "concept.tide"};
  agentese::observer who{"guest", "anonymous", {}};
  agentese::caller reader;
  query_request ask;

  fixture() { reader.read = true; }

  std::variant<json::object, agentese::error> run(std::string_view pattern) {
    ask.pattern = pattern;
    return run_query(actors::all_nodes(), defined, ask, who, reader);
  }

  json::object matches(std::string_view pattern) {
    auto out = run(pattern);
    CAF_REQUIRE(std::holds_alternative<json::object>(out));
    return std::get<json::object>(out);
  }

  static bool has(const json::object& x, std::string_view path) {
    for (const auto& y : x.at("matches").as_array())
      if (y.at("path").as_string() == path)
        return true;
    return false;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(query_tests, fixture)

CAF_TEST(what a tenant has defined is found beside what is registered) {
  const auto all = matches("?world.*");
  CAF_CHECK(has(all, "world.boat"));
  CAF_CHECK(has(all, "world.purgatory"));
  CAF_CHECK(!has(all, "concept.tide"));
  CAF_CHECK(!has(all, "world.*"));
}

CAF_TEST(matches are sorted and paged) {
  ask.limit = 2;
  const auto first = matches("?*.*");
  CAF_CHECK_EQUAL(first.at("matches").as_array().size(), 2u);
  CAF_CHECK(first.at("has_more").as_bool());
  ask.limit = 1000;
  const auto all = matches("?*.*");
  CAF_CHECK(!all.at("has_more").as_bool());
  CAF_CHECK_EQUAL(static_cast<int64_t>(all.at("matches").as_array().size()),
                  all.at("total_count").as_int64());
  std::string before;
  for (const auto& x : all.at("matches").as_array()) {
    CAF_CHECK_LESS(before, std::string{x.at("path").as_string()});
    before = x.at("path").as_string();
  }
}

CAF_TEST(an aspect query lists aspects) {
  const auto x = matches("?void.entropy.?");
  CAF_CHECK(has(x, "void.entropy.sip"));
  for (const auto& y : x.at("matches").as_array())
    CAF_CHECK_EQUAL(y.at("node_type"), "aspect");
  CAF_CHECK(has(matches("?*.*.manifest"), "world.boat.manifest"));
}

CAF_TEST(what the observer or the key may not use is left out) {
  CAF_CHECK(!has(matches("?world.boat.?"), "world.boat.renovate"));
  who.archetype = "architect";
  CAF_CHECK(!has(matches("?world.boat.?"), "world.boat.renovate"));  // the key may only read
  reader.write = true;
  CAF_CHECK(has(matches("?world.boat.?"), "world.boat.renovate"));
  who.archetype = "guest";
  ask.capability_check = false;
  CAF_CHECK(has(matches("?world.boat.?"), "world.boat.renovate"));
}

CAF_TEST(a dry run only costs) {
  ask.dry_run = true;
  const auto x = matches("?*.*");
  CAF_CHECK(x.at("matches").as_array().empty());
  CAF_CHECK_EQUAL(x.at("cost_estimate").as_double(), 0.5);
}

CAF_TEST(bounds and bad patterns are told) {
  ask.limit = 1001;
  CAF_CHECK_EQUAL(std::get<agentese::error>(run("?self")).code, "QUERY_BOUND");
  ask.limit = 0;
  CAF_CHECK_EQUAL(matches("?self").at("limit"), 1);
  CAF_CHECK_EQUAL(std::get<agentese::error>(run("self")).code, "QUERY_SYNTAX");
  CAF_CHECK_EQUAL(matches("?nowhere").at("total_count"), 0);
}

CAF_TEST_FIXTURE_SCOPE_END()
