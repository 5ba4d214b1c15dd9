#define CAF_SUITE lineage

#include "actors/contexts/concept/lineage.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::actors;

namespace {

using names = std::vector<std::string>;

struct fixture {
  lineages known;

  /// Defines it, and answers the code of what was wrong with it, with the violation for a lattice.
  std::string define(lineage_request ask) {
    const auto out = derive(ask, known);
    if (const auto* wrong = std::get_if<1>(&out)) {
      const auto* what = wrong->details.if_contains("violation_type");
      return wrong->code + (what != nullptr ? " " + std::string{what->as_string()} : "");
    }
    known[ask.handle] = std::get<0>(out);
    return "";
  }
  std::string define(std::string handle, names extends) {
    lineage_request ask;
    ask.handle = std::move(handle);
    ask.extends = std::move(extends);
    return define(std::move(ask));
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(lineage_tests, fixture)

CAF_TEST(the standard parents are those of the table) {
  CAF_CHECK_EQUAL(standard_parents().size(), 5u);
  CAF_CHECK_EQUAL(standard_parent("concept")->depth, 0);
  CAF_CHECK_EQUAL(
      standard_parent("concept.process")->affordances,
      (names{"manifest", "define", "relate", "refine", "witness", "execute", "compose"}));
  CAF_CHECK_EQUAL(standard_parent("concept.relation")->constraints,
                  (names{"has_source", "has_target"}));
  CAF_CHECK(standard_parent("concept.justice") == nullptr);
}

CAF_TEST(nothing comes from nothing) { CAF_CHECK_EQUAL(define("concept.justice", {}), "LINEAGE"); }

CAF_TEST(parents have to be there and the missing ones are named) {
  const lineage_request ask{.handle = "concept.justice",
                            .extends = {"concept.entity", "concept.virtue", "concept.order"},
                            .subsumes = {},
                            .justification = {},
                            .domain = {},
                            .affordances = {},
                            .constraints = {},
                            .created_by = {},
                            .created_at = {}};
  const auto out = derive(ask, known);
  const auto* wrong = std::get_if<1>(&out);
  CAF_REQUIRE(wrong != nullptr);
  CAF_CHECK_EQUAL(wrong->code, "LINEAGE");
  CAF_CHECK_EQUAL(wrong->details.at("missing_parents").as_array().size(), 2u);
}

CAF_TEST(affordances are united and constraints intersected) {
  CAF_CHECK_EQUAL(define("concept.trade", {"concept.entity", "concept.process"}), "");
  const auto& trade = known.at("concept.trade");
  CAF_CHECK_EQUAL(trade.affordances, (names{"manifest", "define", "relate", "refine", "witness",
                                            "identify", "execute", "compose"}));
  CAF_CHECK_EQUAL(trade.constraints, (names{"has_input", "has_output"}));
  CAF_CHECK_EQUAL(trade.depth, 2);
  CAF_CHECK_EQUAL(trade.domain, "general");
}

CAF_TEST(depth is one more than the deepest parent and the domain follows from the handle) {
  CAF_CHECK_EQUAL(define("concept.a", {"concept"}), "");
  CAF_CHECK_EQUAL(define("concept.b", {"concept.a"}), "");
  CAF_CHECK_EQUAL(define("concept.physics.c", {"concept.b", "concept.entity"}), "");
  CAF_CHECK_EQUAL(known.at("concept.a").depth, 1);
  CAF_CHECK_EQUAL(known.at("concept.physics.c").depth, 3);
  CAF_CHECK_EQUAL(known.at("concept.physics.c").domain, "physics");
}

CAF_TEST(a concept is not above itself) {
  CAF_CHECK_EQUAL(define("concept.a", {"concept"}), "");
  CAF_CHECK_EQUAL(define("concept.b", {"concept.a"}), "");
  CAF_CHECK_EQUAL(define("concept.c", {"concept.b"}), "");
  CAF_CHECK_EQUAL(define("concept.a", {"concept.c"}), "LATTICE cycle");
  CAF_CHECK_EQUAL(define("concept.a", {"concept.a"}), "LATTICE cycle");
}

CAF_TEST(what it subsumes is not above it either) {
  CAF_CHECK_EQUAL(define("concept.a", {"concept"}), "");
  CAF_CHECK_EQUAL(define("concept.b", {"concept.a"}), "");
  lineage_request ask;
  ask.handle = "concept.c";
  ask.extends = {"concept.b"};
  ask.subsumes = {"concept.a"};
  CAF_CHECK_EQUAL(define(ask), "LATTICE cycle");
  ask.extends = {"concept"};
  CAF_CHECK_EQUAL(define(ask), "");
  // a is told of it; from then on c stands above a for everybody.
  known.at("concept.a").subsumed_by = {"concept.c"};
  CAF_CHECK_EQUAL(define("concept.c", {"concept.b"}), "LATTICE cycle");
}

CAF_TEST(opposed affordances do not meet in one concept) {
  lineage_request ask;
  ask.handle = "concept.register";
  ask.extends = {"concept.entity"};
  ask.affordances = {"mutable"};
  CAF_CHECK_EQUAL(define(ask), "");
  ask.handle = "concept.constant";
  ask.affordances = {"immutable"};
  CAF_CHECK_EQUAL(define(ask), "");
  CAF_CHECK_EQUAL(define("concept.both", {"concept.register", "concept.constant"}),
                  "LATTICE affordance_conflict");
}

CAF_TEST(constraints that exclude each other are refused) {
  CAF_CHECK_EQUAL(define("concept.x", {"concept.process", "concept.relation"}),
                  "LATTICE empty_constraints");
  CAF_CHECK_EQUAL(define("concept.x", {"concept.process", "concept.entity"}), "");
}

CAF_TEST(a lineage is the same after it was stored) {
  lineage_request ask;
  ask.handle = "concept.physics.force";
  ask.extends = {"concept.relation"};
  ask.subsumes = {"concept.gravity"};
  ask.justification = "it acts between two";
  ask.created_by = "ana";
  ask.created_at = "2026-01-05T09:00:00.000000+00:00";
  CAF_CHECK_EQUAL(define(ask), "");
  const auto& x = known.at(ask.handle);
  CAF_CHECK(lineage_from(to_json(x)) == x);
  CAF_CHECK(lineage_from(boost::json::value{nullptr}) == lineage{});
}

CAF_TEST_FIXTURE_SCOPE_END()
