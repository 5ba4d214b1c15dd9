#define CAF_SUITE arguments

#include "actors/logos/arguments.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "actors/contexts/call.hpp"
#include "actors/own_json.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::actors;

namespace json = boost::json;

namespace {

task<outcome> nothing(aspect_call&) { co_return json::object{}; }

constexpr argument args[] = {
    {.name = "count", .type = argument_type::integer},
    {.name = "size", .type = argument_type::number},
    {.name = "data", .type = argument_type::any},
    {.name = "text"},
};
constexpr aspect_spec aspects[] = {{.name = "take", .run = nothing, .args = args}};
constexpr node_spec tested{.path = "self.tested", .description = "takes", .aspects = aspects};

std::string nested(int levels, std::string_view inside) {
  std::string out;
  for (int i = 0; i < levels; ++i)
    out += R"({"a":)";
  out += inside;
  return out.append(static_cast<size_t>(levels), '}');
}

struct fixture {
  registry nodes;
  fixture() { nodes.add(tested); }

  std::variant<json::object, outcome> check(std::string kwargs) const {
    agentese::invoke_aspect ask;
    ask.node = "self.tested";
    ask.aspect = "take";
    ask.kwargs = std::move(kwargs);
    ask.origin = "gateway";
    return check_arguments(*nodes.find("self.tested").node->find("take"), ask);
  }
  bool takes(std::string kwargs) const { return check(std::move(kwargs)).index() == 0; }
  std::string refusal(std::string kwargs) const {
    const auto out = check(std::move(kwargs));
    const auto* wrong = std::get_if<outcome>(&out);
    const auto* why = wrong != nullptr ? std::get_if<agentese::error>(wrong) : nullptr;
    return why != nullptr ? why->message : "taken";
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(arguments_tests, fixture)

CAF_TEST(integers are those of 64 bits with a sign) {
  CAF_CHECK(takes(R"({"count":9223372036854775807})"));
  CAF_CHECK(takes(R"({"count":-9223372036854775808})"));
  CAF_CHECK(takes(R"({"count":3.0})"));
  for (const auto* x : {"9223372036854775808", "18446744073709551615", "1e19", "1.5", "\"many\""})
    CAF_CHECK_EQUAL(refusal(R"({"count":)" + std::string{x} + "}"), "count must be an integer");
}

CAF_TEST(numbers are finite) {
  CAF_CHECK(takes(R"({"size":1e308})"));
  CAF_CHECK_EQUAL(refusal(R"({"size":"nan"})"), "size must be a number");
  CAF_CHECK_EQUAL(refusal(R"({"size":"inf"})"), "size must be a number");
  const std::string wrong = "kwargs must not have infinite numbers";
  CAF_CHECK_EQUAL(refusal(R"({"size":1e999})"), wrong);
  CAF_CHECK_EQUAL(refusal(R"({"data":[{"a":[-1e999]}]})"), wrong);
}

CAF_TEST(NUL is refused wherever it stands but not what only looks like it) {
  CAF_CHECK(takes(R"({"text":"\\u0000"})"));
  CAF_CHECK(takes(R"({"text":"a\\\\u0000"})"));
  const std::string wrong = "kwargs must not have NUL characters";
  CAF_CHECK_EQUAL(refusal(R"({"text":"\u0000"})"), wrong);
  CAF_CHECK_EQUAL(refusal(R"({"text":"\\\u0000"})"), wrong);
  CAF_CHECK_EQUAL(refusal(R"({"text":"\\u0000 \u0000"})"), wrong);
  CAF_CHECK_EQUAL(refusal(R"({"other":[{"\u0000":1}]})"), wrong);
}

CAF_TEST(what was answered may be handed on) {
  // The deepest that a client may send, stored, and told in a list of a result.
  const auto answered = R"({"matches":[)" + nested(62, "1") + "]}";
  CAF_CHECK(takes(R"({"data":)" + answered + "}"));
  CAF_CHECK_EQUAL(refusal(R"({"data":)" + nested(kwargs_depth, "1") + "}"),
                  "kwargs must not be nested so deep");
}

CAF_TEST(what the server wrote is read however it is nested) {
  const auto text = nested(500, "1");
  CAF_CHECK_EQUAL(json::serialize(parse_own(text)), text);
  CAF_CHECK(parse_own(nested(2000, "1")).is_null());
  CAF_CHECK(parse_own("{").is_null());
}

CAF_TEST_FIXTURE_SCOPE_END()
