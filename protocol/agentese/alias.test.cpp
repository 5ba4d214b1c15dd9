#define CAF_SUITE alias

#include "protocol/agentese/alias.hpp"

#include <caf/test/dsl.hpp>

#include "protocol/agentese/random_texts.hpp"

using namespace kgents::agentese;

namespace {

std::string refusal(const alias_table& table, std::string_view name, std::string_view target) {
  const auto failure = check_alias(name, target, table);
  return failure ? failure->code + ": " + failure->message : "";
}

}  // namespace

CAF_TEST(only the first segment is looked up and only once) {
  const auto& table = alias_table::standard();
  CAF_CHECK_EQUAL(table.entries().size(), 9u);
  CAF_CHECK_EQUAL(expand("me.challenge", table), "self.soul.challenge");
  CAF_CHECK_EQUAL(expand("chaos.sip", table), "void.entropy.sip");
  CAF_CHECK_EQUAL(expand("brain", table), "self.memory");
  CAF_CHECK_EQUAL(expand("world.me.manifest", table), "world.me.manifest");
  CAF_CHECK_EQUAL(expand("past.project", table), "time.past.project");
  CAF_CHECK_EQUAL(expand("mee.challenge", table), "mee.challenge");
  CAF_CHECK_EQUAL(expand("", table), "");
  CAF_CHECK(!expand_alias("world.house.manifest", table));
}

CAF_TEST(each rule has its own refusal) {
  const auto& table = alias_table::standard();
  for (auto name : context_names)
    CAF_CHECK_EQUAL(refusal(table, name, "self.soul"),
                    "ALIAS_SHADOW: Cannot create alias '" + std::string{name} +
                        "': would shadow context '" + std::string{name} + "'");
  CAF_CHECK_EQUAL(refusal(table, "a", "me.soul"),
                  "RECURSIVE_ALIAS: Recursive alias detected: 'a' -> 'me.soul'");
  CAF_CHECK_EQUAL(refusal(table, "a", "a.b"),
                  "RECURSIVE_ALIAS: Recursive alias detected: 'a' -> 'a.b'");
  CAF_CHECK_EQUAL(refusal(table, "a", "a"),
                  "RECURSIVE_ALIAS: Recursive alias detected: 'a' -> 'a'");
  CAF_CHECK_EQUAL(refusal(table, "a", "self"), "SYNTAX_ERROR: Path 'self' incomplete");
  CAF_CHECK_EQUAL(refusal(table, "a", "nowhere.x"), "SYNTAX_ERROR: Unknown context: 'nowhere'");
  CAF_CHECK_EQUAL(refusal(table, "a", ""), "SYNTAX_ERROR: Empty path");
  CAF_CHECK_EQUAL(refusal(table, "a", "self.Soul"), "SYNTAX_ERROR: Invalid holon: 'Soul'");
  for (auto name : {"", "A", "9", "a-b", "a.b", "a b"})
    CAF_CHECK(
        refusal(table, name, "self.soul").starts_with("INVALID_ARGUMENT: Invalid alias name"));
  CAF_CHECK(refusal(table, std::string(65, 'a'), "self.soul").starts_with("INVALID_ARGUMENT"));
  CAF_CHECK_EQUAL(refusal(table, "attic", "world.house.attic"), "");
}

CAF_TEST(registering again replaces and removing an unknown one is told) {
  auto table = alias_table::standard();
  CAF_CHECK(!table.set("me", "world.house"));
  CAF_CHECK_EQUAL(expand("me.manifest", table), "world.house.manifest");
  CAF_CHECK(!table.remove("me"));
  const auto failure = table.remove("me");
  CAF_REQUIRE(failure.has_value());
  CAF_CHECK_EQUAL(failure->message, "Alias not found: 'me'");
  CAF_CHECK_EQUAL(failure->code, "ALIAS_NOT_FOUND");
  CAF_CHECK(table.set("time", "world.house").has_value());
  CAF_CHECK(!table.find("time"));
}

CAF_TEST(a table has a bound and replacing does not count) {
  alias_table table;
  for (size_t i = 0; i < max_aliases; ++i)
    holds(!table.set("a" + std::to_string(i), "self.soul"), std::to_string(i));
  CAF_CHECK(table.set("b", "self.soul").has_value());
  CAF_CHECK(!table.set("a0", "self.memory").has_value());
}

CAF_TEST(bad entries are skipped and named) {
  alias_table table;
  const auto skipped = load_aliases(
      "# mine\n"
      "---\n"
      "version: 1\n"
      "  stray: self.soul\n"
      "aliases:   # all of them\n"
      "  home: world.house\n"
      "  'attic' : \"world.house.attic\"  # quoted\r\n"
      "\n"
      "  world: self.soul\n"
      "  loop: home.kitchen\n"
      "  nonsense\n"
      "  Upper: self.soul\n"
      "  half: self\n"
      "  home: world.castle\n",
      table);
  CAF_CHECK_EQUAL(table.entries().size(), 2u);
  CAF_CHECK_EQUAL(expand("home.manifest", table), "world.castle.manifest");
  CAF_CHECK_EQUAL(expand("attic.manifest", table), "world.house.attic.manifest");
  const std::vector<std::pair<size_t, std::string>> expected{
      {3, "version"},   {4, "stray: self.soul"}, {9, "world"}, {10, "loop"},
      {11, "nonsense"}, {12, "Upper"},           {13, "half"}};
  CAF_REQUIRE_EQUAL(skipped.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CAF_CHECK_EQUAL(skipped[i].line, expected[i].first);
    CAF_CHECK_EQUAL(skipped[i].name, expected[i].second);
    CAF_CHECK(!skipped[i].reason.empty());
  }
}

CAF_TEST(load after print is the identity) {
  random_texts random{12};
  for (int i = 0; i < 500; ++i) {
    alias_table table;
    while (!random.one_in(8))
      table.set(random.identifier(20), random.node());
    alias_table again;
    holds(load_aliases(print_aliases(table), again).empty(), print_aliases(table));
    holds(again == table, print_aliases(table));
  }
}

CAF_TEST(garbage loads nothing that may not be there) {
  random_texts random{13};
  for (int i = 0; i < 20'000; ++i) {
    alias_table table;
    const auto skipped =
        load_aliases("aliases:\n a: self.b\n" + random.garbage(200) + "\n b: self.c", table);
    holds(skipped.size() <= 100, print_aliases(table));
    for (const auto& [name, target] : table.entries()) {
      alias_table alone;
      holds(!check_alias(name, target, alone), name + ": " + target);
    }
  }
  alias_table table;
  std::string many = "aliases:\n";
  for (int i = 0; i < 100'000; ++i)
    many += " X: y\n";
  CAF_CHECK_EQUAL(load_aliases(many, table).size(), 100u);
}
