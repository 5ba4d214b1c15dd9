#define CAF_SUITE muse

#include "actors/contexts/void/muse.hpp"

#include <boost/json/parse.hpp>
#include <cmath>
#include <set>

#include "actors/contexts/void/contract.hpp"
#include "actors/contexts/void/pool.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors::void_nodes;
namespace json = boost::json;

namespace {

contract wanted(std::string_view text) {
  auto out = parse_contract(json::parse(text));
  CAF_REQUIRE(std::holds_alternative<contract>(out));
  return std::get<contract>(std::move(out));
}

bool refused(std::string_view text) {
  return std::holds_alternative<std::string>(parse_contract(json::parse(text)));
}

}  // namespace

CAF_TEST(the deck has twenty prompts and a seed always draws the same one) {
  std::set<std::string_view> drawn;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    CAF_CHECK_EQUAL(muse::oblique(seed), muse::oblique(seed));
    drawn.insert(muse::oblique(seed));
  }
  CAF_CHECK_EQUAL(drawn.size(), size_t{muse::deck_size});
}

CAF_TEST(what the muse says comes from the text and the seed) {
  const auto text = "the orchard behind the observatory";
  CAF_CHECK_EQUAL(muse::tangent(text, 7), muse::tangent(text, 7));
  std::set<std::string> all;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto x = muse::tangent(text, seed);
    CAF_CHECK(x.find("orchard") != x.npos || x.find("observatory") != x.npos ||
              x.find("behind") != x.npos);
    all.insert(x);
  }
  CAF_CHECK(all.size() > 20);
}

CAF_TEST(hostile and empty texts get an answer in one line) {
  for (const std::string_view text : {"", " ", "\xff\xfe", "a\nb\x01 c", "日本語のテキスト"}) {
    for (const auto& x : {muse::tangent(text, 1), muse::inspiration(text, 1), muse::image(text, 1),
                          muse::solution(text, {}, 1), muse::fever_dream(text, 1)}) {
      CAF_CHECK(!x.empty());
      CAF_CHECK_EQUAL(x.find('\n'), x.npos);
      CAF_CHECK_EQUAL(x.find('\x01'), x.npos);
      CAF_CHECK_EQUAL(x.find('\xff'), x.npos);
    }
  }
}

CAF_TEST(a solution says what its contract wants said) {
  const auto ensure = wanted(
      R"({"contains": ["tea", "a kettle"], "starts_with": "Perhaps", "ends_with": "quod erat",
          "min_length": 600})");
  const auto x = muse::solution("cold mornings", ensure, 3);
  CAF_CHECK(satisfies(ensure, x));
}

CAF_TEST(each clause of a contract is checked) {
  const auto ensure = wanted(
      R"({"contains": "Tea", "excludes": ["milk"], "starts_with": "so", "ends_with": ".",
          "min_length": 5, "max_length": 10})");
  const auto passed = [&](std::string_view text) {
    std::string out;
    for (const auto& x : check_contract(ensure, text))
      out += x.passed ? '1' : '0';
    return out;
  };
  CAF_CHECK_EQUAL(passed("So TEA."), "111111");
  CAF_CHECK_EQUAL(passed("no tea with milk at all"), "100010");
  CAF_CHECK_EQUAL(passed(""), "010001");
  CAF_CHECK_EQUAL(passed("so téa."), "011111");  // seven characters, whatever their bytes
}

CAF_TEST(a text alone must be contained and nothing asks for nothing) {
  CAF_CHECK(satisfies(wanted(R"("seed")"), "A SEED."));
  CAF_CHECK(!satisfies(wanted(R"("seed")"), "a stone"));
  CAF_CHECK(wanted("null").empty());
  CAF_CHECK(wanted("{}").empty());
  CAF_CHECK_EQUAL(spoken_contract({}), "");
}

CAF_TEST(a contract that cannot be checked is refused) {
  for (const auto* x : {"5", "[]", R"({"rhymes": true})", R"({"contains": 5})",
                        R"({"contains": [""]})", R"({"min_length": -1})", R"({"max_length": "9"})"})
    CAF_CHECK(refused(x));
}

CAF_TEST(amounts are rounded once and refused when they are none) {
  using kgents::sql::nano_amount;
  CAF_CHECK_EQUAL(nano_amount::of(0.1)->nanos, 100'000'000);
  CAF_CHECK_EQUAL(nano_amount::of(0.1)->units(), 0.1);
  CAF_CHECK_EQUAL(nano_amount::of(0.1 + 0.2)->nanos, 300'000'000);
  CAF_CHECK_EQUAL(nano_amount::of(1e300)->units(), nano_amount::most_units);
  CAF_CHECK_EQUAL(nano_amount::of(1e-9)->nanos, 1);
  for (const double x : {0.0, -0.0, -1.0, 1e-10, std::nan(""), HUGE_VAL, -HUGE_VAL})
    CAF_CHECK(!nano_amount::of(x));
}

CAF_TEST(chance is even and below one) {
  double sum = 0;
  for (uint64_t seed = 0; seed < 10'000; ++seed) {
    const auto x = unit_of(seed);
    CAF_REQUIRE(x >= 0 && x < 1);
    sum += x;
  }
  CAF_CHECK(std::abs(sum / 10'000 - 0.5) < 0.02);
}
