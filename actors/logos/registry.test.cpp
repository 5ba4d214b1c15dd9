#define CAF_SUITE registry

#include "actors/logos/registry.hpp"

#include <boost/json/serialize.hpp>

#include "actors/contexts/call.hpp"
#include "actors/logos/logos.hpp"
#include "actors/logos/shape.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::actors;

namespace json = boost::json;

namespace {

task<outcome> nothing(aspect_call&) { co_return json::object{}; }
task<resolution> nowhere(aspect_call&) { co_return resolution{}; }

using enum aspect_category;
constexpr aspect_spec aspects[] = {
    {.name = "relate", .category = composition, .run = nothing},
    {.name = "renovate", .category = mutation, .run = nothing, .effects = "writes:world"},
    {.name = "describe", .run = nothing},
    {.name = "define", .category = generation, .run = nothing, .effects = "writes:world"},
    {.name = "hidden", .run = nothing, .internal = true},
};
constexpr archetype_row rows[] = {{"architect", "renovate"}, {"poet", "describe"}};
constexpr node_spec world{.path = "world.*",
                          .description = "anything",
                          .aspects = aspects,
                          .common = "relate",
                          .rows = rows,
                          .resolve = nowhere};
constexpr node_spec purgatory{.path = "world.purgatory", .description = "waits"};
constexpr node_spec memory{.path = "self.memory", .description = "remembers"};
constexpr node_spec generic{.path = "self.*", .description = "whatever"};

struct fixture {
  registry nodes;
  fixture() {
    for (const auto* x : {&world, &purgatory, &memory, &generic})
      nodes.add(*x);
  }
  bool refuses(const node_spec& x) {
    try {
      nodes.add(x);
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  }
  std::string_view found(std::string_view path) const {
    const auto* x = nodes.find(path).node;
    return x == nullptr ? std::string_view{} : x->path();
  }
};

std::string joined(const std::vector<std::string>& all) {
  std::string out;
  for (const auto& x : all)
    out += (out.empty() ? "" : " ") + x;
  return out;
}

constexpr std::string_view base =
    "manifest witness affordances help alternatives polynomial";

}  // namespace

CAF_TEST_FIXTURE_SCOPE(registry_tests, fixture)

CAF_TEST(the exact path comes before a prefix and a prefix before a form) {
  CAF_CHECK_EQUAL(found("self.memory"), "self.memory");
  CAF_CHECK_EQUAL(found("self.memory.crystal"), "self.memory");
  CAF_CHECK_EQUAL(nodes.find("self.memory.crystal").subpath, "crystal");
  CAF_CHECK_EQUAL(found("world.purgatory"), "world.purgatory");
  CAF_CHECK_EQUAL(found("world.house"), "world.*");
  CAF_CHECK_EQUAL(found("world.house.kitchen"), "world.*");
  CAF_CHECK_EQUAL(found("self.other"), "self.*");
  CAF_CHECK_EQUAL(found("self.other.deep"), "");  // only what is defined has parts
  CAF_CHECK_EQUAL(found("void.entropy"), "");
  CAF_CHECK_EQUAL(found("world"), "");
  CAF_CHECK_EQUAL(found(""), "");
}

CAF_TEST(affordances are base then common then the row of the archetype) {
  const auto& x = *nodes.find("world.house").node;
  CAF_CHECK_EQUAL(joined(x.affordances("architect")), std::string{base} + " relate renovate");
  CAF_CHECK_EQUAL(joined(x.affordances("Poet")), std::string{base} + " relate describe");
  CAF_CHECK_EQUAL(joined(x.affordances("guest")), std::string{base} + " relate");
  CAF_CHECK(x.affords("architect", {}, "renovate"));
  CAF_CHECK(!x.affords("poet", {}, "renovate"));
  CAF_CHECK(!x.affords("poet", {}, "hidden"));
}

CAF_TEST(a capability grants what the archetype does not) {
  const auto& x = *nodes.find("world.house").node;
  const std::vector<std::string> define{"define"};
  CAF_CHECK(!x.affords("poet", {}, "define"));
  CAF_CHECK(x.affords("poet", define, "define"));
  CAF_CHECK_EQUAL(joined(x.affordances("poet", define)),
                  std::string{base} + " relate describe define");
}

CAF_TEST(what mutates needs the scope or a capability for all that it writes) {
  const auto& x = *nodes.find("world.house").node;
  const auto access = [&](std::string_view aspect, agentese::caller by) {
    const auto wrong = check_access(x, *x.find(aspect), "world.house", by);
    return wrong ? wrong->code : std::string{};
  };
  agentese::caller reader;
  CAF_CHECK_EQUAL(access("describe", reader), "SCOPE_REQUIRED");
  reader.read = true;
  CAF_CHECK_EQUAL(access("describe", reader), "");
  CAF_CHECK_EQUAL(access("renovate", reader), "SCOPE_REQUIRED");
  reader.proven = {"memory:write"};
  CAF_CHECK_EQUAL(access("renovate", reader), "CAPABILITY_REQUIRED");
  reader.proven = {"world:write"};
  CAF_CHECK_EQUAL(access("renovate", reader), "");
  agentese::caller writer;
  writer.read = writer.write = true;
  CAF_CHECK_EQUAL(access("renovate", writer), "");
}

CAF_TEST(entropy belongs to the void and mistakes are found at the start) {
  static constexpr aspect_spec sip[] = {{.name = "sip", .category = entropy, .run = nothing}};
  static constexpr node_spec wrong{.path = "self.pool", .description = "", .aspects = sip};
  CAF_CHECK(refuses(wrong));
  static constexpr archetype_row none[] = {{"poet", "sing"}};
  static constexpr node_spec nobody{.path = "self.choir", .description = "", .rows = none};
  CAF_CHECK(refuses(nobody));
}

CAF_TEST(everything that is served can be registered) {
  CAF_CHECK(!all_nodes().list().empty());
  for (const auto* x : all_nodes().list())
    CAF_CHECK(x->find("manifest") != nullptr);
}

CAF_TEST(shapes are written short and read as schemas) {
  const auto schema = [](std::string_view x) {
    const auto out = schema_of(x);
    return out ? json::serialize(*out) : std::string{"none"};
  };
  CAF_CHECK_EQUAL(schema("any"), "{}");
  CAF_CHECK_EQUAL(schema("[string]"), R"({"type":"array","items":{"type":"string"}})");
  CAF_CHECK_EQUAL(
      schema("{a: integer, b?: string|null}"),
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"anyOf":[{"type":"string"},)"
      R"({"type":"null"}]}},"required":["a"]})");
  CAF_CHECK_EQUAL(schema("{number}"),
                  R"({"type":"object","additionalProperties":{"type":"number"}})");
  CAF_CHECK_EQUAL(schema("'queued'"), R"({"const":"queued"})");
  CAF_CHECK_EQUAL(schema("{a integer}"), "none");
  CAF_CHECK_EQUAL(schema("string]"), "none");
}

CAF_TEST_FIXTURE_SCOPE_END()
