#define CAF_SUITE effects

#include "protocol/agentese/effects.hpp"

#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>
#include <limits>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

effects of(std::initializer_list<std::string_view> texts) {
  const auto x = parse_effects(std::span{texts.begin(), texts.size()});
  if (!x)
    CAF_FAIL("not parsed");
  return *x;
}

effects random_effects(random_texts& random) {
  constexpr std::string_view kinds[] = {"reads:", "writes:", "deletes:", "calls:", "emits:"};
  effects result;
  for (auto n = random.below(6); n > 0; --n)
    result.add(std::string{kinds[random.below(5)]} + random.identifier(2));
  for (auto n = random.below(4); n > 0; --n)
    result.add((random.one_in(2) ? "charges:" : "earns:") + random.identifier(1) + " 0." +
               std::to_string(random.below(1'000'000)));
  result.forces = random.one_in(4);
  result.audits = random.one_in(4);
  return result;
}

}  // namespace

CAF_TEST(the example of the specification composes to its result) {
  const auto all = compose(of({"reads:memory"}), of({"calls:llm", "charges:tokens 500"}));
  CAF_CHECK(to_json(all) ==
            boost::json::parse(R"({"reads":["memory"],"writes":[],"calls":["llm"],)"
                               R"("charges":{"tokens":500},"required_capabilities":[]})"));
}

CAF_TEST(charges are summed exactly whatever their order) {
  effects sum;
  for (int i = 0; i < 10; ++i)
    sum = compose(std::move(sum), of({"charges:entropy 0.1"}));
  CAF_CHECK(sum == of({"charges:entropy 1"}));
  CAF_CHECK(to_json(of({"charges:entropy 0.05"})).at("charges") ==
            boost::json::parse(R"({"entropy":0.05})"));
  effects most;
  most.charges["tokens"] = std::numeric_limits<micro_amount>::max();
  CAF_CHECK(compose(most, of({"charges:tokens 1"})) == most);
}

CAF_TEST(what is written or deleted needs a capability) {
  const auto needed = required_capabilities(
      of({"writes:memory", "deletes:memory", "deletes:a/b", "reads:c", "calls:llm"}));
  CAF_CHECK(needed == effects::resources({"a/b:write", "memory:write"}));
}

CAF_TEST(what is no effect is refused and changes nothing) {
  effects x;
  for (auto text : {"", "writes", "writes:", "wipes:memory", "writes:Memory", "writes:a b",
                    "charges:tokens x", "charges:tokens -1", "charges:tokens 1.2345678",
                    "charges:tokens 1.", "charges:tokens .5", "charges:tokens 12345678901",
                    "charges:tokens ", "reads:memory 5", "forces:", "Reads:memory"})
    CAF_CHECK(!x.add(text));
  CAF_CHECK(x.empty());
  CAF_CHECK(x.add("charges:tokens"));
  CAF_CHECK_EQUAL(x.charges.at("tokens"), 0);
  CAF_CHECK(!parse_effect("nonsense"));
  CAF_CHECK(parse_effect("forces:consent")->forces);
}

CAF_TEST(composing is associative and commutative with the empty set as identity) {
  random_texts random{14};
  for (int i = 0; i < 2'000; ++i) {
    const auto a = random_effects(random);
    const auto b = random_effects(random);
    const auto c = random_effects(random);
    const auto about = "round " + std::to_string(i);
    holds(compose(compose(a, b), c) == compose(a, compose(b, c)), about);
    holds(compose(a, b) == compose(b, a), about);
    holds(compose(a, effects{}) == a, about);
    holds(compose(effects{}, a) == a, about);
    const effects all[] = {a, b, c};
    holds(compose(all) == compose(a, compose(b, c)), about);
    for (const auto& resource : a.writes)
      holds(compose(a, b).writes.contains(resource), resource);
  }
}

CAF_TEST(parse after print is the identity) {
  random_texts random{15};
  for (int i = 0; i < 5'000; ++i) {
    const auto x = random_effects(random);
    effects again;
    for (const auto& text : to_texts(x))
      holds(again.add(text), text);
    holds(again == x, "round " + std::to_string(i));
  }
  effects x;
  for (int i = 0; i < 50'000; ++i)
    x.add(random.damaged("charges:tokens 500.25"));
}
