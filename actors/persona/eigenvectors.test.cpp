#define CAF_SUITE eigenvectors

#include "actors/persona/eigenvectors.hpp"

#include <boost/json/parse.hpp>

#include <caf/test/dsl.hpp>

#include <limits>

using namespace kgents::persona;

namespace {

eigenvectors joy_at(double value) {
  eigenvectors result;
  result.modify("joy", {.absolute = value});
  return result;
}

}  // namespace

CAF_TEST(there are exactly six axes with the numbers of the contract) {
  struct expectation {
    std::string_view name;
    double value, confidence;
    std::string_view low, high;
  };
  constexpr expectation table[] = {
      {"aesthetic", 0.15, 0.92, "minimalist", "baroque"},
      {"categorical", 0.92, 0.95, "concrete", "abstract"},
      {"gratitude", 0.78, 0.85, "utilitarian", "sacred"},
      {"heterarchy", 0.88, 0.88, "hierarchical", "peer-to-peer"},
      {"generativity", 0.90, 0.92, "documentation", "generation"},
      {"joy", 0.75, 0.82, "austere", "playful"},
  };
  CAF_REQUIRE_EQUAL(all_axes.size(), std::size(table));
  const eigenvectors start;
  for (const auto& row : table) {
    const auto x = parse_axis(row.name);
    CAF_REQUIRE(x.has_value());
    CAF_CHECK_EQUAL(name(*x), row.name);
    CAF_CHECK_EQUAL(start[*x].value, row.value);
    CAF_CHECK_EQUAL(start[*x].confidence, row.confidence);
    CAF_CHECK_EQUAL(poles(*x).low, row.low);
    CAF_CHECK_EQUAL(poles(*x).high, row.high);
  }
  CAF_CHECK_EQUAL(start.values().size(), 6u);
  CAF_CHECK_EQUAL(start.full().size(), 6u);
}

CAF_TEST(a change is clamped and an absolute value beats a delta) {
  eigenvectors x;
  CAF_CHECK(x.modify("joy", {.delta = 5.0}));
  CAF_CHECK_EQUAL(x[axis::joy].value, 1.0);
  CAF_CHECK(x.modify("JOY", {.delta = -7.0}));
  CAF_CHECK_EQUAL(x[axis::joy].value, 0.0);
  CAF_CHECK(x.modify("joy", {.delta = 0.5, .absolute = 0.25}));
  CAF_CHECK_EQUAL(x[axis::joy].value, 0.25);
  CAF_CHECK(x.modify("joy", {.absolute = 3.0, .confidence_delta = 9.0}));
  CAF_CHECK_EQUAL(x[axis::joy].value, 1.0);
  CAF_CHECK_EQUAL(x[axis::joy].confidence, 1.0);
  CAF_CHECK(x.modify("joy", {.confidence_delta = -9.0}));
  CAF_CHECK_EQUAL(x[axis::joy].value, 1.0);
  CAF_CHECK_EQUAL(x[axis::joy].confidence, 0.0);
}

CAF_TEST(an unknown axis or a number that is none changes nothing) {
  eigenvectors x;
  CAF_CHECK(!x.modify("humour", {.absolute = 0.5}));
  CAF_CHECK(!x.modify("", {.delta = 0.5}));
  CAF_CHECK(!x.modify("joy", {.delta = std::numeric_limits<double>::quiet_NaN()}));
  CAF_CHECK(!x.modify("joy", {.absolute = std::numeric_limits<double>::infinity()}));
  CAF_CHECK(!x.modify("joy", {.confidence_delta = -std::numeric_limits<double>::infinity()}));
  CAF_CHECK(x == eigenvectors{});
}

CAF_TEST(a description changes at four five six and seven tenths) {
  const auto at = [](double value) { return joy_at(value).describe(axis::joy); };
  CAF_CHECK_EQUAL(at(0.0), "strongly austere");
  CAF_CHECK_EQUAL(at(0.39), "strongly austere");
  CAF_CHECK_EQUAL(at(0.4), "slightly austere");
  CAF_CHECK_EQUAL(at(0.49), "slightly austere");
  CAF_CHECK_EQUAL(at(0.5), "neutral");
  CAF_CHECK_EQUAL(at(0.59), "neutral");
  CAF_CHECK_EQUAL(at(0.6), "slightly playful");
  CAF_CHECK_EQUAL(at(0.69), "slightly playful");
  CAF_CHECK_EQUAL(at(0.7), "strongly playful");
  CAF_CHECK_EQUAL(at(1.0), "strongly playful");
}

CAF_TEST(a tendency is balanced only at one half) {
  const auto at = [](double value) { return joy_at(value).tendency(axis::joy); };
  CAF_CHECK_EQUAL(at(0.29), "strongly austere");
  CAF_CHECK_EQUAL(at(0.3), "leans austere");
  CAF_CHECK_EQUAL(at(0.49), "leans austere");
  CAF_CHECK_EQUAL(at(0.5), "balanced");
  CAF_CHECK_EQUAL(at(0.51), "leans playful");
  CAF_CHECK_EQUAL(at(0.7), "leans playful");
  CAF_CHECK_EQUAL(at(0.71), "strongly playful");
}

CAF_TEST(export and import are inverse in both forms) {
  eigenvectors x;
  x.modify("aesthetic", {.absolute = 0.5, .confidence_delta = -0.5});
  x.modify("heterarchy", {.delta = -0.25});
  eigenvectors full;
  CAF_CHECK_EQUAL(full.import(x.full()), 6u);
  CAF_CHECK(full == x);
  eigenvectors flat;
  CAF_CHECK_EQUAL(flat.import(x.values()), 6u);
  for (auto a : all_axes)
    CAF_CHECK_EQUAL(flat[a].value, x[a].value);
  CAF_CHECK_EQUAL(flat[axis::aesthetic].confidence, 0.92);
}

CAF_TEST(import ignores what it does not know and clamps the rest) {
  eigenvectors x;
  const auto taken =
      x.import(boost::json::parse(R"({"humour":1,"joy":7,"gratitude":"high","aesthetic":null,
                             "categorical":{"confidence":-3},"heterarchy":{"value":0}})")
                   .as_object());
  CAF_CHECK_EQUAL(taken, 3u);
  CAF_CHECK_EQUAL(x[axis::joy].value, 1.0);
  CAF_CHECK_EQUAL(x[axis::gratitude].value, 0.78);
  CAF_CHECK_EQUAL(x[axis::aesthetic].value, 0.15);
  CAF_CHECK_EQUAL(x[axis::categorical].value, 0.92);
  CAF_CHECK_EQUAL(x[axis::categorical].confidence, 0.0);
  CAF_CHECK_EQUAL(x[axis::heterarchy].value, 0.0);
}
