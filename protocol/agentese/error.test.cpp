#define CAF_SUITE error

#include "protocol/agentese/error.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <caf/test/dsl.hpp>
#include <vector>

#include "protocol/agentese/federation.hpp"
#include "protocol/agentese/random_texts.hpp"

using kgents::agentese::category;
using kgents::agentese::from_json;
using kgents::agentese::http_status;
using kgents::agentese::parse_path;
using kgents::agentese::syntax_error;
namespace agentese = kgents::agentese;
namespace errors = kgents::agentese::errors;

namespace {

const std::vector<std::string> names{"a", "b", "c", "d", "e", "f"};
const std::vector<std::string> none;

struct row {
  agentese::error made;
  std::string_view code;
  category what;
  uint16_t status;
  std::string_view message;
};

std::vector<row> all_rows() {
  using namespace std::chrono_literals;
  const auto malformed = std::get<syntax_error>(parse_path("world.House.a"));
  const auto unknown = std::get<syntax_error>(parse_path("nowhere.house.a"));
  return {
      {errors::path_syntax("world.House.a", malformed), "SYNTAX_ERROR", category::invalid_input,
       400, "Invalid holon: 'House'"},
      {errors::path_syntax("nowhere.house.a", unknown), "PATH_NOT_FOUND", category::not_found, 404,
       "Unknown context: 'nowhere'"},
      {errors::path_not_found("world.x", "No such thing: 'x'", names), "PATH_NOT_FOUND",
       category::not_found, 404, "No such thing: 'x'"},
      {errors::node_not_registered("world.x", none), "NODE_NOT_REGISTERED", category::not_found,
       404, "Node 'world.x' not registered"},
      {errors::affordance_denied("world.house.demolish", "demolish", "poet", names),
       "AFFORDANCE_DENIED", category::forbidden, 403, "Aspect 'demolish' not available to poet"},
      {errors::observer_required("world.x.y"), "OBSERVER_REQUIRED", category::unauthorized, 401,
       "An observer is required"},
      {errors::budget_exhausted("void.entropy.sip", 0.0, 0.1), "BUDGET_EXHAUSTED",
       category::quota_exceeded, 402, "Requested 0.1 but only 0 remaining"},
      {errors::insufficient_capital("void.capital.bypass", "ana", 0.5, 0.4), "INSUFFICIENT_CAPITAL",
       category::quota_exceeded, 402, "Insufficient capital: 0.5 required, 0.4 available to ana"},
      {errors::tastefulness("world.x.define", names), "TASTEFULNESS", category::invalid_input, 400,
       "The definition is not valid: a, b, c, d, e"},
      {errors::lineage("concept.x", none), "LINEAGE", category::precondition, 422,
       "'concept.x' has no parent: nothing comes from nothing"},
      {errors::lattice("concept.x", "cycle", "concept.a extends it"), "LATTICE",
       category::precondition, 422, "'concept.x' does not fit the lattice: concept.a extends it"},
      {errors::composition_violation("identity", "a >> b", "No"), "COMPOSITION_ERROR",
       category::precondition, 422, "No"},
      {errors::minimal_output("self.x.list"), "COMPOSITION_ERROR", category::precondition, 422,
       "Array return violates Minimal Output Principle: 'self.x.list'"},
      {errors::stage_failed(1, "world.x.y", errors::node_not_registered("world.x")),
       "NODE_NOT_REGISTERED", category::not_found, 404,
       "Stage 2 'world.x.y' failed: Node 'world.x' not registered"},
      {errors::law_check_failed("associativity", "a >> b >> c", 1, 2), "LAW_VIOLATION",
       category::precondition, 422, "Law 'associativity' does not hold at 'a >> b >> c'"},
      {errors::category_violation("world.x.measure", "measure", "PERCEPTION"), "CATEGORY_VIOLATION",
       category::forbidden, 403, "Aspect 'measure' is of category PERCEPTION and may not write"},
      {errors::recursive_alias("a", "a.b"), "RECURSIVE_ALIAS", category::invalid_input, 400,
       "Recursive alias detected: 'a' -> 'a.b'"},
      {errors::alias_shadow("self", "a.b"), "ALIAS_SHADOW", category::invalid_input, 400,
       "Cannot create alias 'self': would shadow context 'self'"},
      {errors::alias_not_found("x"), "ALIAS_NOT_FOUND", category::not_found, 404,
       "Alias not found: 'x'"},
      {errors::query_syntax("x", "Query pattern must start with '?'", "write '?x'"), "QUERY_SYNTAX",
       category::invalid_input, 400, "Query pattern must start with '?'"},
      {errors::query_bound("?x", "Max limit is 1000. Use pagination."), "QUERY_BOUND",
       category::invalid_input, 400, "Max limit is 1000. Use pagination."},
      {errors::timeout("world.x.y", 250ms), "TIMEOUT", category::timeout, 504,
       "Timed out after 250 ms"},
      {errors::unavailable("world.x.y", "The node is draining", 2), "UNAVAILABLE",
       category::unavailable, 503, "The node is draining"},
      {errors::internal("world.x.y"), "INTERNAL_ERROR", category::internal, 500, "Internal error"},
      {errors::invalid_argument("void.entropy.sip", "amount", "amount has to be positive"),
       "INVALID_ARGUMENT", category::invalid_input, 400, "amount has to be positive"},
      {errors::scope_required("world.x.define", "write"), "SCOPE_REQUIRED", category::forbidden,
       403, "The credential lacks the scope 'write'"},
      {errors::capability_required("self.memory.prune", "memory:write"), "CAPABILITY_REQUIRED",
       category::forbidden, 403, "A capability for 'memory:write' is required"},
  };
}

}  // namespace

CAF_TEST(each row of the table has its code and status and category and text and a next step) {
  for (const auto& each : all_rows()) {
    CAF_CHECK_EQUAL(each.made.code, each.code);
    CAF_CHECK(each.made.category == each.what);
    CAF_CHECK_EQUAL(http_status(each.made), each.status);
    CAF_CHECK_EQUAL(each.made.message, each.message);
    CAF_CHECK(each.code == "QUERY_SYNTAX" || each.made.suggested_action.size() > 10);
    CAF_CHECK(!each.made.suggested_action.empty());
  }
}

CAF_TEST(a denied affordance looks as in the specification) {
  const std::vector<std::string> available{"manifest", "witness"};
  const auto x = errors::affordance_denied("world.house.demolish", "demolish", "poet", available);
  CAF_CHECK(to_json(x, "4bf9") == boost::json::parse(R"({"category":"forbidden",
    "code":"AFFORDANCE_DENIED","message":"Aspect 'demolish' not available to poet",
    "retry_after":null,"fallback_verb":"world.house.manifest",
    "suggested_action":"use one of the listed affordances","path":"world.house.demolish",
    "trace_id":"4bf9","details":{"aspect":"demolish","observer_archetype":"poet",
    "available":["manifest","witness"]}})"));
  CAF_CHECK_EQUAL(print(x),
                  "Aspect 'demolish' not available to poet\n\n"
                  "    Why: The archetype 'poet' does not afford it at this node.\n\n"
                  "    Try: manifest, witness\n\n"
                  "    Related: world.house.manifest");
}

CAF_TEST(paragraphs without text are left out) {
  agentese::error x;
  x.message = "No";
  CAF_CHECK_EQUAL(print(x), "No");
  x.related = "world.house";
  CAF_CHECK_EQUAL(print(x), "No\n\n    Related: world.house");
}

CAF_TEST(details name what the caller needs) {
  const auto budget = errors::budget_exhausted("void.entropy.sip", 0, 0.1);
  CAF_CHECK_EQUAL(budget.details.at("remaining").as_double(), 0.0);
  CAF_CHECK_EQUAL(budget.details.at("requested").as_double(), 0.1);
  CAF_CHECK_EQUAL(errors::minimal_output("a.b.c").details.at("law_violated").as_string(),
                  "minimal_output");
  CAF_CHECK_EQUAL(
      errors::node_not_registered("a", names).details.at("similar_paths").as_array().size(), 5u);
  CAF_CHECK_EQUAL(errors::unknown_context("a.b", "a").details.at("available").as_array().size(),
                  5u);
  const auto syntax =
      errors::path_syntax("world.House.a", std::get<syntax_error>(parse_path("world.House.a")));
  CAF_CHECK_EQUAL(syntax.details.at("position").to_number<size_t>(), 6u);
  CAF_CHECK_EQUAL(syntax.details.at("locus").as_string(), "House");
  CAF_CHECK_EQUAL(errors::stage_failed(1, "a.b.c", budget).details.at("stage").to_number<int>(), 2);
}

CAF_TEST(a record brings everything back) {
  for (const auto& each : all_rows()) {
    const auto text = serialize(to_record(each.made));
    CAF_CHECK(from_json(boost::json::parse(text)) == each.made);
    auto shorter = each.made;
    shorter.why.clear();
    shorter.try_.clear();
    shorter.related.clear();
    CAF_CHECK(from_json(to_json(each.made, "trace")) == shorter);
  }
}

CAF_TEST(what is no record is refused) {
  for (auto text : {"null", "[]", "{}", R"({"category":"forbidden","code":"X"})",
                    R"({"category":"nice","code":"X","message":"m"})",
                    R"({"category":1,"code":"X","message":"m"})",
                    R"({"category":"forbidden","code":"X","message":"m","retry_after":-1})",
                    R"({"category":"forbidden","code":"X","message":"m","retry_after":"soon"})",
                    R"({"category":"forbidden","code":"X","message":"m","details":[]})"})
    CAF_CHECK(!from_json(boost::json::parse(text)));
  CAF_CHECK(from_json(boost::json::parse(R"({"category":"forbidden","code":"X","message":"m"})"))
                .has_value());
}

CAF_TEST(a hostile path is shown without control characters) {
  agentese::random_texts random{16};
  for (int i = 0; i < 20'000; ++i) {
    const auto text = random.garbage();
    const auto parsed = parse_path(text);
    if (const auto* failure = std::get_if<syntax_error>(&parsed))
      for (const auto& shown :
           {print(errors::path_syntax(text, *failure)), errors::path_syntax(text, *failure).path})
        for (const char c : shown)
          agentese::holds(c == '\n' || static_cast<unsigned char>(c) >= ' ', text);
  }
}

CAF_TEST(a path of another server is unavailable however long one waits) {
  const auto refused = agentese::refuse_federation("kg://ana@elsewhere/world.house.manifest");
  CAF_REQUIRE(refused.has_value());
  CAF_CHECK_EQUAL(refused->code, "UNAVAILABLE");
  CAF_CHECK(!refused->retry_after);
  CAF_CHECK(!agentese::refuse_federation("world.house.manifest"));
}

CAF_TEST(a refusal travels as JSON) {
  const agentese::refused x{.path = "world.house.demolish",
                            .reason = "consent is missing",
                            .consent_required = "owner",
                            .override_cost = 0.25,
                            .appeal_to = std::nullopt};
  CAF_CHECK(to_json(x) == boost::json::parse(R"({"path":"world.house.demolish",
    "reason":"consent is missing","consent_required":"owner","override_cost":0.25,"appeal_to":null})"));
  CAF_CHECK(agentese::refused_from_json(to_json(x)) == x);
  for (auto text : {"1", "{}", R"({"reason":1})", R"({"reason":"r","override_cost":"x"})"})
    CAF_CHECK(!agentese::refused_from_json(boost::json::parse(text)));
}
