#define CAF_SUITE taste

#include "actors/logos/taste.hpp"

#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>
#include <cmath>

using namespace kgents::actors::taste;
namespace json = boost::json;

namespace {

double surprise(std::string_view output, std::string_view prior) {
  const auto p = json::parse(prior);
  return structural_surprise(json::parse(output), &p);
}

bool near(double a, double b) { return std::abs(a - b) < 1e-9; }

critique of(std::string_view artifact, std::string_view purpose = "", const char* prior = nullptr) {
  const auto a = json::parse(artifact);
  const auto p = prior != nullptr ? json::parse(prior) : json::value{};
  critique_request ask{.artifact = &a, .purpose = purpose};
  if (prior != nullptr)
    ask.prior_work = ask.expected = &p;
  return criticise(ask);
}

}  // namespace

CAF_TEST(the score is highest half - way between the known and noise) {
  CAF_CHECK_EQUAL(wundt(0), 0.0);
  CAF_CHECK_EQUAL(wundt(0.5), 1.0);
  CAF_CHECK_EQUAL(wundt(1), 0.0);
}

CAF_TEST(both thresholds are interesting themselves) {
  CAF_CHECK(judge(0.1, {}) == verdict::interesting);
  CAF_CHECK(judge(0.9, {}) == verdict::interesting);
  CAF_CHECK(judge(0.0999, {}) == verdict::boring);
  CAF_CHECK(judge(0.9001, {}) == verdict::chaotic);
  CAF_CHECK(judge(0.12, automatic) == verdict::boring);
  CAF_CHECK(judge(0.93, automatic) == verdict::interesting);
}

CAF_TEST(calibration keeps low below high) {
  CAF_CHECK((calibrated({}, 0.2, 0.8) == thresholds{0.2, 0.8}));
  CAF_CHECK((calibrated({}, -1.0, 2.0) == thresholds{0.0, 1.0}));
  CAF_CHECK(near(calibrated({}, 0.5, 0.3).high, 0.6));
  CAF_CHECK((calibrated({}, 1.0, std::nullopt) == thresholds{1.0, 1.0}));
  CAF_CHECK((calibrated({0.2, 0.7}, std::nullopt, std::nullopt) == thresholds{0.2, 0.7}));
}

CAF_TEST(surprise goes by the form) {
  CAF_CHECK_EQUAL(structural_surprise(json::value("x"), nullptr), 0.5);
  CAF_CHECK_EQUAL(surprise("\"x\"", "null"), 0.5);
  CAF_CHECK_EQUAL(surprise("\"x\"", "{}"), 0.9);
  CAF_CHECK_EQUAL(surprise("\"abc\"", "\"ABC\""), 0.0);
  CAF_CHECK_EQUAL(surprise("\"\"", "\"abc\""), 0.5);
  CAF_CHECK_EQUAL(surprise("\"\"", "\"\""), 0.0);
  // Twice as long (1), half of the letters in common (0.5).
  CAF_CHECK(near(surprise("\"abab\"", "\"ca\""), (1.0 + (1 - 1.0 / 3)) / 2));
  CAF_CHECK(near(surprise(R"({"a":1,"b":2})", R"({"b":3,"c":4})"), 1 - 1.0 / 3));
  CAF_CHECK_EQUAL(surprise("[1,2]", "[1,2,3,4]"), 0.5);
  CAF_CHECK_EQUAL(surprise("[1]", "[]"), 1.0);
  CAF_CHECK_EQUAL(surprise("15", "10"), 0.5);
  CAF_CHECK_EQUAL(surprise("15.0", "10"), 0.5);
  CAF_CHECK_EQUAL(surprise("100", "-1"), 1.0);
  CAF_CHECK_EQUAL(surprise("1", "0"), 1.0);
  CAF_CHECK_EQUAL(surprise("0", "0"), 0.0);
  CAF_CHECK_EQUAL(surprise("true", "false"), 0.5);
  CAF_CHECK_EQUAL(surprise("true", "true"), 0.0);
}

CAF_TEST(utility asks for the words of the purpose) {
  CAF_CHECK(near(of("\"a solver of puzzles\"", "solver puzzles").utility, 1.0));
  CAF_CHECK(near(of("\"a solver\"", "solver puzzles").utility, 0.65));
  CAF_CHECK(near(of("\"nothing\"", "solver puzzles").utility, 0.3));
}

CAF_TEST(utility without a purpose goes by the form) {
  CAF_CHECK(near(of("\"One. Two! Three?\"").utility, 0.65));
  CAF_CHECK(near(of("\"no sentence\"").utility, 0.4));
  CAF_CHECK(near(of("\"  \"").utility, 0.1));
  CAF_CHECK(near(of("{}").utility, 0.2));
  CAF_CHECK(near(of(R"({"a":1,"b":2})").utility, 0.6));
  CAF_CHECK(near(of("[]").utility, 0.2));
}

CAF_TEST(novelty is the largest distance from the prior work) {
  CAF_CHECK(near(of("10", "", "[10, 20]").novelty, 0.5));
  CAF_CHECK(near(of("\"abc\"", "", "\"abc\"").novelty, 0.0));
  const auto x = of("\"one two three four five\"");
  CAF_CHECK(near(x.novelty, (23.0 / 1000 + 5.0 / 50) / 2));
}

CAF_TEST(the overall score weighs the three and says what is weak) {
  const auto x = of("\"abc\"", "puzzles", "\"abc\"");
  CAF_CHECK(near(x.overall, 0.4 * 0 + 0.4 * 0.3 + 0.2 * 0));
  CAF_CHECK_EQUAL(x.suggestions.size(), 2u);
  CAF_CHECK(!x.reasoning.empty());
  CAF_CHECK(weights{}.valid());
  CAF_CHECK((!weights{0.5, 0.5, 0.5}.valid()));
}
