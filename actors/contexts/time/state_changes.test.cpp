#define CAF_SUITE state_changes

#include "actors/contexts/time/state_changes.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

#include <caf/test/dsl.hpp>

using namespace kgents::actors;
namespace json = boost::json;

namespace {

std::string changes(std::string_view before, std::string_view after) {
  return json::serialize(changes_between(json::parse(before), json::parse(after)));
}

constexpr int64_t second = 1'000'000;

}  // namespace

CAF_TEST(members come and go and change) {
  CAF_CHECK_EQUAL(changes(R"({"a":1,"b":2,"c":[1]})", R"({"b":3,"c":[1],"d":null})"),
                  R"({"added":{"d":null},"removed":{"a":1},"modified":{"b":{"old":2,"new":3}}})");
}

CAF_TEST(no state is one without members) {
  CAF_CHECK_EQUAL(changes("null", R"({"a":1})"), R"({"added":{"a":1},"removed":{},"modified":{}})");
  CAF_CHECK_EQUAL(changes(R"({"a":1})", "null"), R"({"added":{},"removed":{"a":1},"modified":{}})");
  CAF_CHECK_EQUAL(changes("null", "null"), R"({"added":{},"removed":{},"modified":{}})");
}

CAF_TEST(numbers of states are series) {
  const auto x = series_of({{0, json::parse(R"({"size":1,"name":"x"})")},
                            {10, json::parse(R"({"size":2.5,"rooms":3})")},
                            {20, nullptr}});
  CAF_REQUIRE_EQUAL(x.size(), 2u);
  CAF_REQUIRE_EQUAL(x.at("size").size(), 2u);
  CAF_CHECK_EQUAL(x.at("size")[1].value, 2.5);
  CAF_CHECK_EQUAL(x.at("rooms")[0].at, 10);
}

CAF_TEST(activity counts per hour in equal stretches) {
  std::vector<int64_t> times;
  for (int i = 0; i < 60; ++i)
    times.push_back(i * second);
  const auto x = activity_of(times, 60 * second);
  CAF_REQUIRE_EQUAL(x.size(), 12u);
  for (const auto& each : x)
    CAF_CHECK(std::abs(each.value - 3600) < 1);
  CAF_CHECK(trend_of(x).direction == trend_direction::stable);
}

CAF_TEST(what happens more and more often is seen to rise) {
  std::vector<int64_t> times;
  for (int i = 0; i < 40; ++i)
    times.push_back(static_cast<int64_t>(std::sqrt(i / 40.0) * 120 * second));
  CAF_CHECK(trend_of(activity_of(times, 120 * second)).direction == trend_direction::rising);
}

CAF_TEST(what hardly happened has no activity) {
  CAF_CHECK(activity_of({}, 100 * second).empty());
  CAF_CHECK(activity_of({0, 1}, 100 * second).empty());
  CAF_CHECK(activity_of({0, 1, 2}, second).empty());
  CAF_CHECK(activity_of({5 * second, 6 * second, 7 * second}, 0).empty());
}
