#define CAF_SUITE trend

#include "actors/contexts/time/trend.hpp"

#include <cmath>

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace {

std::vector<observation> line(double from, double step, int n, double wobble = 0) {
  std::vector<observation> out;
  for (int i = 0; i < n; ++i)
    out.push_back({i * 60.0, from + step * i + (i % 2 == 0 ? wobble : -wobble)});
  return out;
}

bool near(double a, double b) { return std::abs(a - b) < 1e-6; }

double sum(const std::vector<scenario>& all) {
  double out = 0;
  for (const auto& x : all)
    out += x.probability;
  return out;
}

}  // namespace

CAF_TEST(too few observations say nothing) {
  for (int n = 0; n < 3; ++n) {
    const auto x = trend_of(line(1, 1, n));
    CAF_CHECK(x.direction == trend_direction::uncertain);
    CAF_CHECK(near(x.confidence, 0.5));
    const auto all = scenarios_of(x, 60);
    CAF_REQUIRE_EQUAL(all.size(), 3u);
    CAF_CHECK(near(all[0].probability, 0.3));
    CAF_CHECK(near(all[1].probability, 0.4));
    CAF_CHECK(near(all[2].probability, 0.3));
  }
  CAF_CHECK(trend_of({{5, 1}, {5, 2}, {5, 3}}).direction == trend_direction::uncertain);
}

CAF_TEST(a straight line is found and followed) {
  const auto x = trend_of(line(10, 2, 11));
  CAF_CHECK(x.direction == trend_direction::rising);
  CAF_CHECK(near(x.slope * 60, 2));
  CAF_CHECK(near(x.level, 30));
  CAF_CHECK(near(x.confidence, 0.9));
  const auto all = scenarios_of(x, 600);
  CAF_CHECK(near(all[1].value, 50));
  CAF_CHECK(near(sum(all), 1));
  CAF_CHECK(all[0].probability > all[2].probability);
}

CAF_TEST(a falling line leans to the pessimistic) {
  const auto x = trend_of(line(10, -2, 11));
  CAF_CHECK(x.direction == trend_direction::falling);
  const auto all = scenarios_of(x, 60);
  CAF_CHECK(all[0].probability < all[2].probability);
  CAF_CHECK(near(sum(all), 1));
}

CAF_TEST(what does not vary is stable) {
  const auto x = trend_of(line(7, 0, 5));
  CAF_CHECK(x.direction == trend_direction::stable);
  CAF_CHECK(near(x.level, 7));
  CAF_CHECK(near(x.confidence, 0.75));
  CAF_CHECK(trend_of(line(100, 0, 20, 5)).direction == trend_direction::stable);
}

CAF_TEST(noise lowers confidence) {
  const auto clean = trend_of(line(0, 1, 20, 0.1));
  const auto noisy = trend_of(line(0, 1, 20, 5));
  CAF_CHECK(clean.direction == trend_direction::rising);
  CAF_CHECK(noisy.confidence < clean.confidence);
  CAF_CHECK(noisy.spread > clean.spread);
}

CAF_TEST(the order in which things were seen does not matter) {
  auto seen = line(3, 4, 9);
  std::swap(seen[0], seen[7]);
  std::swap(seen[2], seen[3]);
  const auto a = trend_of(seen);
  const auto b = trend_of(line(3, 4, 9));
  CAF_CHECK(near(a.slope, b.slope));
  CAF_CHECK(near(a.level, b.level));
}

CAF_TEST(numbers without measure end in no nonsense) {
  const auto x = trend_of({{0, 1e308}, {1, -1e308}, {2, 1e308}, {3, -1e308}});
  CAF_CHECK(std::isfinite(x.slope));
  CAF_CHECK(std::isfinite(x.level));
  CAF_CHECK(std::isfinite(x.spread));
  CAF_CHECK(x.confidence >= 0 && x.confidence <= 1);
}
