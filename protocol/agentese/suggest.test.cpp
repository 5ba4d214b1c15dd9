#define CAF_SUITE suggest

#include "protocol/agentese/suggest.hpp"

#include <algorithm>
#include <caf/test/dsl.hpp>

#include "protocol/agentese/random_texts.hpp"

using kgents::agentese::edit_distance;
using kgents::agentese::similar;

namespace {

/// The textbook's whole table.
size_t plain_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> table(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j)
      table[i][j] = i == 0   ? j
                    : j == 0 ? i
                             : std::min({table[i - 1][j] + 1, table[i][j - 1] + 1,
                                         table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
  return table[a.size()][b.size()];
}

}  // namespace

CAF_TEST(distances are those of the textbook up to the bound) {
  CAF_CHECK_EQUAL(edit_distance("kitten", "sitting"), 3u);
  CAF_CHECK_EQUAL(edit_distance("", "abc"), 3u);
  CAF_CHECK_EQUAL(edit_distance("", ""), 0u);
  kgents::agentese::random_texts random{17};
  for (int i = 0; i < 50'000; ++i) {
    std::string a;
    std::string b;
    for (auto n = random.below(12); n > 0; --n)
      a.push_back("abc"[random.below(3)]);
    for (auto n = random.below(12); n > 0; --n)
      b.push_back("abc"[random.below(3)]);
    const auto most = random.below(8);
    kgents::agentese::holds(edit_distance(a, b, most) == std::min(plain_distance(a, b), most + 1),
                            a + " and " + b);
  }
}

CAF_TEST(the nearest come first and the far ones not at all) {
  const std::vector<std::string> candidates{"world.mouse",  "world.house",  "world.horse",
                                            "void.entropy", "world.houses", "world.hose",
                                            "world.hour"};
  const auto found = similar("world.hous", candidates);
  CAF_REQUIRE_EQUAL(found.size(), 5u);
  CAF_CHECK_EQUAL(found[0], "world.hour");
  CAF_CHECK_EQUAL(found[1], "world.house");
  CAF_CHECK(std::find(found.begin(), found.end(), "void.entropy") == found.end());
  CAF_CHECK_EQUAL(similar("world.hous", candidates, 2).size(), 2u);
  CAF_CHECK_EQUAL(similar("world.hous", candidates, 100).size(), 5u);
  CAF_CHECK(similar("", candidates).empty());
  CAF_CHECK(similar(std::string(100'000, 'x'), candidates).empty());
  CAF_CHECK(similar("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", candidates).empty());
}
