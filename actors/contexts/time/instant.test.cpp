#define CAF_SUITE instant

#include "actors/contexts/time/instant.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;
using namespace std::chrono_literals;

namespace {

const instant now = instant{1'700'000'000s};

std::string read(std::string_view text) {
  const auto x = parse_instant(text, now);
  return x ? to_text(*x) : "none";
}

}  // namespace

CAF_TEST(a time is read in the forms of ISO 8601 and printed in one) {
  CAF_CHECK_EQUAL(read("2026-03-01"), "2026-03-01T00:00:00.000000+00:00");
  CAF_CHECK_EQUAL(read("2026-03-01T09:05"), "2026-03-01T09:05:00.000000+00:00");
  CAF_CHECK_EQUAL(read("2026-03-01 09:05:07Z"), "2026-03-01T09:05:07.000000+00:00");
  CAF_CHECK_EQUAL(read("2026-03-01T09:05:07.25+00:00"), "2026-03-01T09:05:07.250000+00:00");
  CAF_CHECK_EQUAL(read("2026-03-01T00:30:00+01:00"), "2026-02-28T23:30:00.000000+00:00");
  CAF_CHECK_EQUAL(read("2026-03-01T00:30:00-0530"), "2026-03-01T06:00:00.000000+00:00");
  CAF_CHECK_EQUAL(read("2024-02-29"), "2024-02-29T00:00:00.000000+00:00");
  CAF_CHECK_EQUAL(read("2026-03-01T09:05:07.1234567Z"), "2026-03-01T09:05:07.123456+00:00");
  CAF_CHECK_EQUAL(read("now"), to_text(now));
}

CAF_TEST(what is no time is none) {
  for (const auto* text : {"", "x", "2026", "2026-3-1", "2026-02-30", "2026-13-01", "1969-12-31",
                           "2026-03-01T", "2026-03-01T24:00", "2026-03-01T09:60", "2026-03-01T09:05:61",
                           "2026-03-01T09:05:07.", "2026-03-01T09:05:07+1", "2026-03-01T09:05:07Zx",
                           "2026-03-01T09", "tomorrow", "20260301"})
    CAF_CHECK_EQUAL(read(text), "none");
}

CAF_TEST(a printed time reads back as itself) {
  for (const auto x : {0us, 1us, 951'782'400'000'000us, 1'700'000'000'123'456us, 4'102'444'800'000'000us})
    CAF_CHECK(parse_instant(to_text(instant{x}), now) == instant{x});
}

CAF_TEST(a length of time is a number and a unit) {
  CAF_CHECK(parse_duration("1d") == 86'400s);
  CAF_CHECK(parse_duration("90m") == 5'400s);
  CAF_CHECK(parse_duration("1.5h") == 5'400s);
  CAF_CHECK(parse_duration("2w") == 1'209'600s);
  CAF_CHECK(parse_duration("30") == 30s);
  for (const auto* text : {"", "d", "1y", "1dd", "0s", "-1d", "1e9d", "nan", "inf", "99999d", " 1d"})
    CAF_CHECK(!parse_duration(text));
}
