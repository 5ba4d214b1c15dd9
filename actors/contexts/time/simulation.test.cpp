#define CAF_SUITE simulation

#include "actors/contexts/time/simulation.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents::actors;
namespace json = boost::json;

namespace {

std::string run(std::string_view parameters, int64_t steps, uint64_t seed = 1) {
  const auto x = read_variables(json::parse(parameters).as_object());
  if (const auto* wrong = std::get_if<std::string>(&x))
    return *wrong;
  return json::serialize(simulated(std::get<variables>(x), steps, seed));
}

}  // namespace

CAF_TEST(a state changes by its rules) {
  CAF_CHECK_EQUAL(run(R"({"state":{"a":100,"b":1},"growth":{"a":0.5},"delta":{"b":2}})", 3),
                  R"([{"step":0,"state":{"a":1E2,"b":1E0}},{"step":1,"state":{"a":1.5E2,"b":3E0}},)"
                  R"({"step":2,"state":{"a":2.25E2,"b":5E0}}])");
}

CAF_TEST(numbers beside the rules are a state too) {
  CAF_CHECK_EQUAL(run(R"({"a":8,"growth":-0.5,"min":3})", 3),
                  R"([{"step":0,"state":{"a":8E0}},{"step":1,"state":{"a":4E0}},)"
                  R"({"step":2,"state":{"a":3E0}}])");
}

CAF_TEST(nothing stays nothing) {
  CAF_CHECK_EQUAL(run("{}", 2), R"([{"step":0,"state":{}},{"step":1,"state":{}}])");
}

CAF_TEST(noise is that of its seed) {
  constexpr auto* noisy = R"({"a":100,"noise":0.1})";
  CAF_CHECK_EQUAL(run(noisy, 20, 7), run(noisy, 20, 7));
  CAF_CHECK_NOT_EQUAL(run(noisy, 20, 7), run(noisy, 20, 8));
}

CAF_TEST(what grows without bounds stays a number) {
  const auto x = json::parse(run(R"({"a":1,"growth":1e9})", 200)).as_array();
  CAF_CHECK_EQUAL(x.back().at("state").at("a").to_number<double>(), 1e300);
}

CAF_TEST(what is no state is told) {
  CAF_CHECK_EQUAL(run(R"({"a":"x"})", 1), "a must be a number");
  CAF_CHECK_EQUAL(run(R"({"state":[1]})", 1), "state must be an object of numbers");
  CAF_CHECK_EQUAL(run(R"({"a":1,"growth":{"b":1}})", 1),
                  "growth.b must be a number for a member of the state");
  CAF_CHECK_EQUAL(run(R"({"a":1,"min":2,"max":1})", 1), "min of a is above its max");
  CAF_CHECK_EQUAL(run(R"({"a":1,"noise":"much"})", 1),
                  "noise must be a number or an object of numbers");
}
