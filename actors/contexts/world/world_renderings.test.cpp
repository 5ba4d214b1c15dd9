#define CAF_SUITE world_renderings

#include "actors/contexts/world/renderings.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "actors/contexts/world/agent_letters.hpp"
#include "actors/contexts/world/entity_text.hpp"
#include "actors/contexts/world/valuation.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::actors;

namespace json = boost::json;

namespace {

stored_node house(std::string_view state = "{}") {
  stored_node out;
  out.path = "world.house";
  out.state = json::parse(state).get_object();
  return out;
}

std::string text(const json::value& x) { return json::serialize(x); }

struct fixture {};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(renderings_tests, fixture)

CAF_TEST(an untouched house is a blueprint to an architect) {
  CAF_CHECK_EQUAL(text(rendering(house(), "architect")),
                  R"({"type":"blueprint","dimensions":{},"materials":[],"structural_analysis":)"
                  R"({"load_bearing":[],"stress_points":[],"integrity":1E0}})");
}

CAF_TEST(each archetype sees it in its own way) {
  const auto type = [](std::string_view who) {
    return std::string{rendering(house(), who).at("type").as_string()};
  };
  CAF_CHECK_EQUAL(type("poet"), "poetic");
  CAF_CHECK_EQUAL(type("Economist"), "economic");
  CAF_CHECK_EQUAL(type("scientist"), "scientific");
  CAF_CHECK_EQUAL(type("developer"), "developer");
  CAF_CHECK_EQUAL(type("admin"), "admin");
  const auto plain = rendering(house(), "guest");
  CAF_CHECK_EQUAL(plain.at("summary").as_string(), "World_Entity: house");
  CAF_CHECK_EQUAL(text(plain.at("metadata").at("entity_type")), R"("entity")");
}

CAF_TEST(what the state says is seen by everybody) {
  const auto node = house(R"({"colour":"red","dimensions":{"height":3},"metaphors":["a shell"]})");
  for (const auto who : {"architect", "poet", "economist", "scientist", "developer", "admin", ""})
    CAF_CHECK_EQUAL(text(rendering(node, who).at("state").at("colour")), R"("red")");
  CAF_CHECK_EQUAL(text(rendering(node, "architect").at("dimensions")), R"({"height":3})");
  CAF_CHECK_EQUAL(text(rendering(node, "poet").at("metaphors")), R"(["a shell"])");
  CAF_CHECK(entity_text::description(node).find("red") != std::string::npos);
}

CAF_TEST(a state is merged as RFC 7396 has it) {
  auto target = json::parse(R"({"a":{"b":1,"c":2},"d":3,"e":4})").get_object();
  merge_patch(target,
              json::parse(R"({"a":{"b":null,"x":{"y":null}},"d":[1],"e":null})").get_object());
  CAF_CHECK_EQUAL(text(target), R"({"a":{"c":2,"x":{}},"d":[1]})");
}

CAF_TEST(a price follows from trades) {
  const auto none = valued(std::vector<double>{});
  CAF_CHECK(!none.value);
  CAF_CHECK_EQUAL(none.trend_text(), "uncertain");
  const auto rising = valued(std::vector<double>{100, 110, 120});
  CAF_CHECK_EQUAL(*rising.value, 110.0);
  CAF_CHECK_EQUAL(rising.trend_text(), "rising");
  CAF_CHECK(*rising.after(1) > 110);
  CAF_CHECK(rising.confidence > 0.5 && rising.confidence <= 1);
  CAF_CHECK_EQUAL(valued(std::vector<double>{5, 5, 5}).trend_text(), "steady");
  CAF_CHECK_EQUAL(*valued(std::vector<double>{9, 6, 3}).after(100), 0.0);
  CAF_CHECK_EQUAL(*valued(json::parse(R"({"market_value":7})").get_object()).value, 7.0);
  CAF_CHECK_EQUAL(*valued(json::parse(R"({"trades":[{"price":1},{"x":2},3]})").get_object()).value,
                  1.0);
}

CAF_TEST(horizons are numbers with a unit) {
  CAF_CHECK_EQUAL(*days_of("1d"), 1.0);
  CAF_CHECK_EQUAL(*days_of("12h"), 0.5);
  CAF_CHECK_EQUAL(*days_of("2w"), 14.0);
  for (const auto bad : {"", "d", "1", "-1d", "1x", "1dd", "nand", "99999y", "infd"})
    CAF_CHECK(!days_of(bad));
}

CAF_TEST(texts are of the entity and the same each time) {
  const auto node = house(R"({"rooms":4,"light":"low"})");
  CAF_CHECK_EQUAL(entity_text::metaphor(node, "the sea", 0),
                  entity_text::metaphor(node, "the sea", 0));
  CAF_CHECK_NOT_EQUAL(entity_text::metaphor(node, "", 0), entity_text::metaphor(node, "", 1));
  CAF_CHECK_EQUAL(entity_text::hypotheses(node).size(), 3u);
  CAF_CHECK_EQUAL(entity_text::hypotheses(house()).size(), 3u);
  CAF_CHECK(entity_text::design(node, "a school").find("a school") != std::string::npos);
}

CAF_TEST(every letter names an agent once) {
  CAF_CHECK_EQUAL(agent_letters().size(), 25u);
  for (const auto& x : agent_letters())
    CAF_CHECK_EQUAL(find_agent_letter(x.letter), &x);
  CAF_CHECK(find_agent_letter("x") == nullptr);
}

CAF_TEST_FIXTURE_SCOPE_END()
