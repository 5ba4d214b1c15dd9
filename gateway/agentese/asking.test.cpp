#define CAF_SUITE asking

#include "gateway/agentese/asking.hpp"

#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::gateway;

namespace json = boost::json;

namespace {

http::request with(std::string_view name, std::string_view value) {
  http::request out;
  out.headers.emplace_back(name, value);
  return out;
}

agentese::observer observer(const http::request& in) {
  auto out = observer_of_headers(in, universal_observer);
  CAF_REQUIRE(std::holds_alternative<agentese::observer>(out));
  return std::get<agentese::observer>(out);
}

bool refused(const http::request& in) {
  return std::holds_alternative<agentese::error>(observer_of_headers(in, universal_observer));
}

}  // namespace

CAF_TEST(who says nothing of itself is the usual observer) {
  const auto x = observer({});
  CAF_CHECK_EQUAL(x.archetype, "viewer");
  CAF_CHECK_EQUAL(x.id, "anonymous");
  CAF_CHECK(x.capabilities.empty());
}

CAF_TEST(headers name the observer and blanks among capabilities are dropped) {
  CAF_CHECK_EQUAL(observer(with("x-observer-archetype", "custom-archetype")).archetype,
                  "custom-archetype");
  const auto x = observer(with("x-observer-capabilities", " define, ,write ,"));
  CAF_CHECK_EQUAL(x.capabilities, (std::vector<std::string>{"define", "write"}));
}

CAF_TEST(what is no text is refused before it reaches a store) {
  CAF_CHECK(refused(with("x-observer-archetype", "\xff\xfe")));
  CAF_CHECK(refused(with("x-observer-archetype", std::string(129, 'a'))));
  CAF_CHECK(refused(with("x-observer-id", std::string(257, 'a'))));
  CAF_CHECK(refused(with("x-observer-capabilities", std::string(129, 'a'))));
  std::string many;
  for (int i = 0; i < 65; ++i)
    many += "x,";
  CAF_CHECK(refused(with("x-observer-capabilities", many)));
}

CAF_TEST(members of an observer in a body are checked one by one) {
  agentese::observer who;
  violations wrong;
  read_observer(json::parse(R"({"name":"ana","archetype":"architect","capabilities":["define"]})"),
                who, wrong, {"body", "observer"});
  CAF_CHECK(wrong.empty());
  CAF_CHECK_EQUAL(who.archetype, "architect");
  CAF_CHECK_EQUAL(who.id, "ana");
  CAF_CHECK_EQUAL(who.capabilities, std::vector<std::string>{"define"});
  read_observer(json::parse(R"({"archetype":7,"capabilities":["a",1]})"), who, wrong,
                {"body", "observer"});
  CAF_REQUIRE_EQUAL(wrong.size(), 2u);
  CAF_CHECK_EQUAL(wrong[0].at("type"), "string_type");
  CAF_CHECK_EQUAL(wrong[1].at("loc"), (json::array{"body", "observer", "capabilities", 1}));
}

CAF_TEST(a query string is kwargs without the key) {
  CAF_CHECK_EQUAL(kwargs_of_query(""), "{}");
  const auto x = json::parse(kwargs_of_query("amount=0.5&api_key=kg_secret&text=a+b%21&x=1&x=2"));
  CAF_CHECK_EQUAL(x, json::parse(R"({"amount":"0.5","text":"a b!","x":"2"})"));
}

CAF_TEST(a body that is no object is none) {
  CAF_CHECK_EQUAL(kwargs_of_body(""), "{}");
  CAF_CHECK_EQUAL(kwargs_of_body("[1]"), "{}");
  CAF_CHECK_EQUAL(kwargs_of_body("{nonsense"), "{}");
  CAF_CHECK_EQUAL(kwargs_of_body(R"({"a":1})"), R"({"a":1})");
}

CAF_TEST(what may cost tokens is known before it runs) {
  const auto& nodes = actors::all_nodes();
  const auto cost = [&](std::string_view path) {
    return token_estimate(nodes, path, "enterprise");
  };
  CAF_CHECK_GREATER(cost("self.soul.dialogue"), 0u);
  CAF_CHECK_EQUAL(cost("me.dialogue"), cost("self.soul.dialogue"));
  CAF_CHECK_EQUAL(cost("mine.dialogue"), 500u);  // somebody's own alias
  CAF_CHECK_EQUAL(cost("self.soul.manifest"), 0u);
  CAF_CHECK_EQUAL(cost("world.nothing.at.all"), 0u);
  CAF_CHECK_EQUAL(token_estimate(nodes, "self.soul.dialogue", "free"), 100u);
}
