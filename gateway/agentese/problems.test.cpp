#define CAF_SUITE problems

#include "gateway/agentese/problems.hpp"

#include <boost/json/serialize.hpp>
#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::gateway;

namespace errors = agentese::errors;
namespace json = boost::json;

namespace {

const std::vector<std::string> some{"manifest", "witness"};

agentese::error syntax() {
  const auto parsed = agentese::parse_path("world..house");
  return errors::path_syntax("world..house", std::get<agentese::syntax_error>(parsed));
}

/// One of each code, with the statuses of /v1, /api/v1 and /agentese.
struct expected {
  agentese::error what;
  uint16_t v1;
  uint16_t universal;
  uint16_t gateway;
  std::string_view shown;  ///< the code on /api/v1
};

std::vector<expected> all() {
  return {
      {syntax(), 400, 400, 400, "SYNTAX_ERROR"},
      {errors::path_not_found("world.x", "nothing"), 404, 404, 404, "PATH_NOT_FOUND"},
      {errors::node_not_registered("self.x"), 404, 404, 404, "PATH_NOT_FOUND"},
      {errors::affordance_denied("world.house.renovate", "renovate", "poet", some), 403, 403, 403,
       "AFFORDANCE_DENIED"},
      {errors::observer_required("x"), 400, 401, 401, "OBSERVER_REQUIRED"},
      {errors::budget_exhausted("void.entropy.sip", 0, 0.1), 402, 402, 402, "BUDGET_EXHAUSTED"},
      {errors::insufficient_capital("void.capital.bypass", "a", 1, 0), 402, 402, 402,
       "BUDGET_EXHAUSTED"},
      {errors::tastefulness("x", some), 400, 422, 400, "LAW_VIOLATION"},
      {errors::lineage("x", some), 422, 422, 412, "LAW_VIOLATION"},
      {errors::lattice("x", "cycle", "y"), 422, 422, 412, "LAW_VIOLATION"},
      {errors::minimal_output("x"), 422, 422, 422, "COMPOSITION_ERROR"},
      {errors::law_check_failed("identity", "x", 1, 2), 422, 422, 422, "LAW_VIOLATION"},
      {errors::category_violation("x.y.z", "z", "PERCEPTION"), 403, 403, 403, "CATEGORY_VIOLATION"},
      {errors::scope_required("x.y.z", "write"), 403, 403, 403, "SCOPE_REQUIRED"},
      {errors::capability_required("x.y.z", "memory:write"), 403, 403, 403, "CAPABILITY_REQUIRED"},
      {errors::alias_not_found("x"), 404, 404, 404, "ALIAS_NOT_FOUND"},
      {errors::query_bound("?x", "too many"), 400, 400, 400, "QUERY_BOUND"},
      {errors::invalid_argument("x.y.z", "a", "no"), 400, 400, 400, "INVALID_ARGUMENT"},
      {errors::timeout("x", std::chrono::seconds{10}), 504, 504, 504, "TIMEOUT"},
      {errors::unavailable("x", "away", 3), 503, 503, 503, "UNAVAILABLE"},
      {errors::internal("x"), 500, 500, 500, "INTERNAL_ERROR"},
  };
}

std::string v1_text(const problem& x) { return std::string{x.body.at("detail").as_string()}; }

const json::object& detail(const problem& x) { return x.body.at("detail").as_object(); }

}  // namespace

CAF_TEST(each code has its status in each dialect) {
  for (const auto& x : all()) {
    CAF_MESSAGE(x.what.code);
    CAF_CHECK_EQUAL(v1_problem(x.what).status, x.v1);
    CAF_CHECK_EQUAL(universal_problem(x.what, "s").status, x.universal);
    CAF_CHECK_EQUAL(gateway_problem(x.what, "t").status, x.gateway);
  }
}

CAF_TEST(what is told of an error on / v1 is one text in the words of the contract) {
  CAF_CHECK(v1_text(v1_problem(syntax())).starts_with("Invalid path: "));
  const auto denied = errors::affordance_denied("world.house.renovate", "renovate", "poet", some);
  CAF_CHECK_EQUAL(v1_text(v1_problem(denied)),
                  "Affordance not available: Aspect 'renovate' not available to poet. Available: "
                  "manifest, witness");
  CAF_CHECK_EQUAL(v1_text(v1_problem(errors::scope_required("world.house.transform", "write"))),
                  "API key requires 'write' scope for aspect 'transform'");
  CAF_CHECK(v1_text(v1_problem(errors::budget_exhausted("x", 0, 0.1)))
                .starts_with("Budget exhausted: Requested 0.1 but only 0 remaining"));
  CAF_CHECK(
      v1_text(v1_problem(errors::timeout("x", std::chrono::seconds{1}))).starts_with("Timed out"));
  CAF_CHECK_EQUAL(v1_text(v1_problem(agentese::refused{"x", "no thanks", {}, {}, {}})),
                  "Refused: no thanks");
}

CAF_TEST(every error object of / api / v1 has all members and a suggestion) {
  for (const auto& x : all()) {
    const auto told = universal_problem(x.what, "00f1");
    for (const auto* name : {"error", "code", "path", "suggestion", "available", "why", "span_id"})
      CAF_CHECK(detail(told).contains(name));
    CAF_CHECK_EQUAL(std::string_view{detail(told).at("code").as_string()}, x.shown);
    CAF_CHECK_GREATER(detail(told).at("suggestion").as_string().size(), 10u);
    CAF_CHECK_EQUAL(detail(told).at("span_id"), "00f1");
  }
}

CAF_TEST(an unknown context is a matter of syntax on / api / v1) {
  const auto plain = invalid_context("invalid");
  CAF_CHECK_EQUAL(plain.status, 400);
  CAF_CHECK_EQUAL(detail(plain).at("error"), "Invalid context: 'invalid'");
  CAF_CHECK_EQUAL(detail(plain).at("code"), "SYNTAX_ERROR");
  CAF_CHECK_EQUAL(detail(plain).at("available").as_array().size(), 5u);
  auto staged = errors::unknown_context("bad.holon.aspect", "bad");
  staged.details["stage"] = 1;
  const auto told = universal_problem(staged, "");
  CAF_CHECK_EQUAL(told.status, 400);
  CAF_CHECK_EQUAL(detail(told).at("error"), "Invalid context 'bad' in path 'bad.holon.aspect'");
  const auto short_one = missing_aspect("world.house");
  CAF_CHECK_EQUAL(detail(short_one).at("error"), "Path 'world.house' must include aspect");
}

CAF_TEST(the gateway tells what looks like an unregistered path) {
  const std::vector<std::string> similar{"self.memory"};
  const auto told = gateway_problem(errors::node_not_registered("self.memori", similar), "t");
  CAF_CHECK_EQUAL(told.status, 404);
  CAF_CHECK_EQUAL(detail(told).at("error"), "Node 'self.memori' not registered");
  CAF_CHECK_EQUAL(detail(told).at("similar_paths"), json::array{"self.memory"});
  CAF_CHECK_EQUAL(detail(told).at("discover_endpoint"), "/agentese/discover");
  const auto other = gateway_problem(errors::budget_exhausted("x", 0, 1), "t");
  CAF_CHECK_EQUAL(detail(other).at("category"), "quota_exceeded");
  CAF_CHECK_EQUAL(detail(other).at("trace_id"), "t");
}

CAF_TEST(who may come back later is told when) {
  const auto away = errors::unavailable("x", "away", 3);
  for (const auto& x : {v1_problem(away), universal_problem(away, ""), gateway_problem(away, "")})
    CAF_CHECK_EQUAL(x.lines, "Retry-After: 3\r\n");
}

CAF_TEST(a refusal is an answer of its own in every dialect) {
  const agentese::refused no{"self.identity.evolve", "not like this", "owner", {}, "concept.x"};
  for (const auto& x : {v1_problem(no), universal_problem(no, "s"), gateway_problem(no, "t")})
    CAF_CHECK_EQUAL(x.status, 451);
  const auto universal = universal_problem(no, "s");
  CAF_CHECK_EQUAL(detail(universal).at("consent_required"), "owner");
  const auto gateway = gateway_problem(no, "t");
  CAF_CHECK_EQUAL(detail(gateway).at("appeal_to"), "concept.x");
}
