#define CAF_SUITE reconciliation

#include "actors/metering/reconciliation.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::metering;

namespace {

std::vector<stretch> at(int64_t unix_seconds) {
  return stretches_at(std::chrono::system_clock::time_point{std::chrono::seconds{unix_seconds}});
}

}  // namespace

CAF_TEST(the month so far is compared in whole minutes) {
  // 2026-02-10T12:34:56Z
  CAF_CHECK(at(1'770'726'896) ==
            (std::vector<stretch>{{"2026-02", "2026-02-01T00:00:00Z", "2026-02-10T12:24:00Z"}}));
}

CAF_TEST(a new month brings the one before to its end) {
  // 2026-01-01T00:05:30Z: of the new month nothing is counted yet
  CAF_CHECK(at(1'767'225'930) ==
            (std::vector<stretch>{{"2025-12", "2025-12-01T00:00:00Z", "2025-12-31T23:55:00Z"}}));
  // 2026-01-03T00:00:00Z
  CAF_CHECK(at(1'767'398'400) ==
            (std::vector<stretch>{{"2025-12", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"},
                                  {"2026-01", "2026-01-01T00:00:00Z", "2026-01-02T23:50:00Z"}}));
  // 2026-01-04T00:00:00Z
  CAF_CHECK_EQUAL(at(1'767'484'800).size(), 1u);
}

CAF_TEST(a discrepancy has a sign and needs no usage) {
  CAF_CHECK_EQUAL(discrepancy(100, 100), 0);
  CAF_CHECK_EQUAL(discrepancy(50, 100), -0.5);
  CAF_CHECK_EQUAL(discrepancy(150, 100), 0.5);
  CAF_CHECK_EQUAL(discrepancy(0, 0), 0);
  CAF_CHECK_EQUAL(discrepancy(3, 0), 3);
}

CAF_TEST(the answer of a meter is summed) {
  CAF_CHECK(sum_of(R"({"data":[]})") == 0.0);
  CAF_CHECK(sum_of(R"({"data":[{"value":1},{"value":2.5}],"from":null})") == 3.5);
  for (auto text : {"", "[]", "{}", R"({"data":{}})", R"({"data":[1]})", R"({"data":[{"value":"1"}]})"})
    CAF_CHECK(!sum_of(text));
}
