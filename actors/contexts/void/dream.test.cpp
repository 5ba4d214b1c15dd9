#define CAF_SUITE dream

#include "actors/contexts/void/dream.hpp"

#include <boost/json/parse.hpp>
#include <cmath>

#include "actors/contexts/void/limits.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors::void_nodes;
using namespace kgents::sql;

namespace {

std::vector<dream_interaction> said(size_t n, std::string text, std::string mode = "reflect",
                                    int64_t first = 1) {
  std::vector<dream_interaction> out;
  for (size_t i = 0; i < n; ++i)
    out.push_back({first + static_cast<int64_t>(i), text, mode});
  return out;
}

std::string texts(const std::vector<found_pattern>& all) {
  std::string out;
  for (const auto& x : all)
    out += (out.empty() ? "" : "|") + x.text;
  return out;
}

dream dreamt(const dream_view& view, std::vector<found_pattern> suggestions = {},
             bool dry_run = false) {
  return dream_of(view, std::move(suggestions), "2026-01-05T03:00:00.000000+00:00", dry_run);
}

int64_t count(const dream& x, std::string_view name) {
  return x.report.at(name).to_number<int64_t>();
}

garden_pattern grown(std::string text, uint32_t occurrences, double days_unseen = 1) {
  return {.id = 7,
          .text = std::move(text),
          .lifecycle = std::string{maturity(occurrences, "seed")},
          .confidence = 0.3,
          .occurrences = occurrences,
          .days_unseen = days_unseen,
          .last_seen = {}};
}

}  // namespace

CAF_TEST(nine interactions are too few and change nothing) {
  dream_view view;
  view.interactions = said(limits::dream_least - 1, "orchards");
  const auto x = dreamt(view);
  CAF_CHECK(!x.enough);
  CAF_CHECK_EQUAL(x.report.at("insights").as_array().size(), 1u);
  CAF_CHECK_EQUAL(count(x, "interactions_processed"), 0);
  CAF_CHECK_EQUAL(count(x, "patterns_discovered"), 0);
}

CAF_TEST(a mode dominates when more than half of what was said is in it) {
  auto half = said(5, "a", "challenge");
  for (auto& x : said(5, "a", "reflect"))
    half.push_back(x);
  CAF_CHECK_EQUAL(texts(find_patterns(half)), "");
  half[9].mode = "challenge";
  const auto found = find_patterns(half);
  CAF_CHECK_EQUAL(texts(found), "Prefers the challenge mode");
  CAF_CHECK_EQUAL(found.at(0).confidence, 0.6);
}

CAF_TEST(a word recurs when a fifth of the messages have it and two at least) {
  auto all = said(15, "x", "reflect");
  for (size_t i = 0; i < all.size(); ++i)
    all[i].mode = i % 2 == 0 ? "advise" : i % 3 == 0 ? "explore" : "reflect";
  all[0].mode = "reflect";
  all[1].text = all[2].text = "the orchard";
  CAF_CHECK_EQUAL(texts(find_patterns(all)), "");
  all[3].text = "Orchard, orchard, orchard";
  CAF_CHECK_EQUAL(texts(find_patterns(all)), "Returns to orchard");
  auto few = said(4, "x");
  few[0].text = "moss and sea";
  CAF_CHECK_EQUAL(texts(find_patterns(few)).find("moss"), std::string::npos);
  few[1].text = "moss, and the sea";  // three letters are too few
  CAF_CHECK(texts(find_patterns(few)).find("Returns to moss") != std::string::npos);
  CAF_CHECK_EQUAL(texts(find_patterns(few)).find("sea"), std::string::npos);
}

CAF_TEST(more than six questions in ten make a pattern) {
  auto all = said(10, "x");
  for (size_t i = 0; i < 6; ++i)
    all[i].text = "x?";
  CAF_CHECK_EQUAL(texts(find_patterns(all)).find("Asks"), std::string::npos);
  all[6].text = "x?";
  CAF_CHECK(texts(find_patterns(all)).find("Asks more than it tells") != std::string::npos);
}

CAF_TEST(only lines of the agreed form are taken from a model) {
  const auto found = parse_suggestions(
      "Here are patterns:\nPATTERN: Decides by contrast (0.7)\nPATTERN: no number\n"
      "PATTERN: (0.5)\nPATTERN: Not a number (nan)\nPATTERN: Too sure (7)\r\n- PATTERN: x (0.1)");
  CAF_CHECK_EQUAL(texts(found), "Decides by contrast|Too sure");
  CAF_CHECK_EQUAL(found.at(0).confidence, 0.7);
  CAF_CHECK_EQUAL(found.at(1).confidence, 0.95);
}

CAF_TEST(a seed becomes a sapling when seen twice and a tree when seen five times) {
  CAF_CHECK_EQUAL(maturity(1, "seed"), "seed");
  CAF_CHECK_EQUAL(maturity(2, "seed"), "sapling");
  CAF_CHECK_EQUAL(maturity(4, "sapling"), "sapling");
  CAF_CHECK_EQUAL(maturity(5, "sapling"), "tree");
  CAF_CHECK_EQUAL(maturity(9, "flower"), "flower");
}

CAF_TEST(the id of a pattern is the beginning of its MD5) {
  CAF_CHECK_EQUAL(pattern_id("hello"), "5d41402abc4b");
}

CAF_TEST(what is seen again grows and what is new is planted) {
  dream_view view;
  view.interactions = said(10, "the orchard", "challenge", 50);
  view.garden = {grown("Prefers the challenge mode", 1)};
  const auto x = dreamt(view);
  CAF_REQUIRE_EQUAL(x.changes.seen_again.size(), 1u);
  CAF_CHECK_EQUAL(x.changes.seen_again[0].lifecycle, "sapling");
  CAF_CHECK_EQUAL(x.changes.seen_again[0].occurrences, 2u);
  CAF_CHECK_EQUAL(count(x, "patterns_promoted"), 1);
  CAF_REQUIRE_EQUAL(x.changes.seeds.size(), 1u);
  CAF_CHECK_EQUAL(x.changes.seeds[0].text, "Returns to orchard");
  CAF_CHECK_EQUAL(x.changes.last_message, 59);
}

CAF_TEST(what was not seen for thirty days goes unless it is seen now) {
  dream_view view;
  view.interactions = said(10, "x", "challenge");
  view.garden = {grown("Returns to moss", 3, 30.5), grown("Prefers the challenge mode", 3, 90)};
  view.garden[1].id = 8;
  const auto x = dreamt(view);
  CAF_REQUIRE_EQUAL(x.changes.composted.size(), 1u);
  CAF_CHECK_EQUAL(x.changes.composted[0], 7);
  view.garden[0].days_unseen = 29.9;
  CAF_CHECK(dreamt(view).changes.composted.empty());
}

CAF_TEST(a cycle takes the oldest hundred and leaves the rest) {
  dream_view view;
  view.interactions = said(limits::dream_buffer, "x");
  const auto x = dreamt(view);
  CAF_CHECK_EQUAL(count(x, "interactions_processed"), 100);
  CAF_CHECK_EQUAL(x.changes.last_message, 100);
}

CAF_TEST(confidence moves by at most five hundredths a cycle) {
  dream_view view;
  view.interactions = said(10, "x", "challenge");
  view.garden = {grown("Prefers the challenge mode", 9)};
  view.state.confidence = R"({"joy": 0.2})";
  std::vector<found_pattern> suggestions;
  for (int i = 0; i < 9; ++i)
    suggestions.push_back({"pattern " + std::to_string(i), 0.5, {{"heterarchy", 1.0}}});
  const auto x = dreamt(view, suggestions);
  CAF_CHECK_EQUAL(x.report.at("eigenvector_deltas").at("heterarchy").as_double(), 0.05);
  const auto sum = boost::json::parse(x.changes.confidence);
  CAF_CHECK_EQUAL(sum.at("heterarchy").as_double(), 0.05);
  CAF_CHECK_EQUAL(sum.at("joy").as_double(), 0.2);
  // Half an affinity, seen ten times: 0.5 × 0.01 × 5.
  const auto alone = dreamt(view);
  const auto delta = alone.report.at("eigenvector_deltas").at("heterarchy").as_double();
  CAF_CHECK(std::abs(delta - 0.025) < 1e-12);
}

CAF_TEST(a full garden takes no more seeds) {
  dream_view view;
  view.interactions = said(10, "the orchard", "challenge");
  for (uint32_t i = 0; i < limits::garden_most; ++i)
    view.garden.push_back(grown("old " + std::to_string(i), 2));
  CAF_CHECK(dreamt(view).changes.seeds.empty());
}

CAF_TEST(a dry run says so) {
  dream_view view;
  view.interactions = said(10, "x");
  CAF_CHECK(dreamt(view, {}, true).report.at("was_dry_run").as_bool());
  CAF_CHECK(!dreamt(view).report.at("was_dry_run").as_bool());
}
