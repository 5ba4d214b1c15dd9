// self.aliases: first segments that stand for a node (agentese.md section 12).

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "protocol/agentese/alias.hpp"
#include "sql/agentese_aliases.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;

namespace {

using enum aspect_category;

const std::string* standard_target(std::string_view name) {
  return agentese::alias_table::standard().find(name);
}

/// The standard ones with the tenant's changes: a stored pair that is not right (any more) is left
/// out, as at the load of a file.
task<agentese::alias_table> table_of(aspect_call& c) {
  auto query = sql::agentese_aliases::list(c.tenant());
  const auto stored = co_await c.read(std::move(query));
  auto out = agentese::alias_table::standard();
  for (const auto& [name, target] : stored) {
    if (target)
      (void)out.set(name, *target);
    else
      (void)out.remove(name);
  }
  co_return out;
}

agentese::error at(const aspect_call& c, agentese::error x) {
  x.path = c.full_path();
  return x;
}

task<outcome> list(aspect_call& c) {
  const auto table = co_await table_of(c);
  json::object all;
  for (const auto& [name, target] : table.entries())
    all[name] = target;
  const auto count = all.size();
  co_return json::object{{"aliases", std::move(all)}, {"count", count}};
}

task<outcome> set(aspect_call& c) {
  const auto name = c.text("name");
  const auto target = c.text("target");
  const auto held = co_await c.lock("aliases");
  const auto table = co_await table_of(c);
  if (auto wrong = agentese::check_alias(name, target, table))
    co_return at(c, std::move(*wrong));
  const bool replaced = table.find(name) != nullptr;
  auto query = sql::agentese_aliases::set(c.tenant(), name, target);
  json::object change{{"alias", name}, {"target", target}};
  co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"name", name}, {"target", target}, {"replaced", replaced}};
}

task<outcome> remove(aspect_call& c) {
  const auto name = c.text("name");
  const auto held = co_await c.lock("aliases");
  auto table = co_await table_of(c);
  if (auto wrong = table.remove(name))
    co_return at(c, std::move(*wrong));
  // Of a standard one it has to be kept that it is not wanted.
  auto query = standard_target(name) != nullptr
                   ? sql::agentese_aliases::set(c.tenant(), name, std::nullopt)
                   : sql::agentese_aliases::remove(c.tenant(), name);
  json::object change{{"alias", name}, {"target", nullptr}};
  co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"name", name}, {"status", "removed"}};
}

/// Read each time: whatever node asks, it is what was committed last.
task<outcome> expand(aspect_call& c) {
  const auto name = c.text("name");
  auto query = sql::agentese_aliases::get(c.tenant(), name);
  const auto stored = co_await c.read(std::move(query));
  json::value target;
  if (stored && stored->second)
    target = json::value(*stored->second);
  else if (const auto* standard = standard_target(name); !stored && standard != nullptr)
    target = json::value(*standard);
  co_return json::object{{"name", name}, {"target", std::move(target)}};
}

constexpr argument name_args[] = {{.name = "name", .required = true, .max_bytes = 512}};
constexpr argument set_args[] = {{.name = "name", .required = true, .max_bytes = 512},
                                 {.name = "target",
                                  .required = true,
                                  .meaning = "a node path, from its context",
                                  .max_bytes = 512}};

constexpr aspect_spec aspects[] = {
    {.name = "list",
     .run = list,
     .help = "All aliases, the standard ones included.",
     .returns = "{aliases: {string}, count: integer}",
     .effects = "reads:aliases"},
    {.name = "set",
     .category = mutation,
     .run = set,
     .help = "Adds an alias, or replaces one.",
     .args = set_args,
     .returns = "{name: string, target: string, replaced: boolean}",
     .effects = "writes:aliases",
     .example = R"({"name":"boat","target":"world.boat"})",
     .idempotent = true},
    {.name = "remove",
     .category = mutation,
     .run = remove,
     .help = "Removes an alias, a standard one too.",
     .args = name_args,
     .returns = "{name: string, status: string}",
     .effects = "deletes:aliases",
     .example = R"({"name":"boat"})"},
    {.name = "expand",
     .run = expand,
     .help = "What a name stands for.",
     .args = name_args,
     .returns = "{name: string, target: string | null}",
     .effects = "reads:aliases",
     .example = R"({"name":"me"})",
     .idempotent = true,
     .internal = true},
};

}  // namespace

void register_aliases(registry& to) {
  static constexpr node_spec spec{
      .path = "self.aliases",
      .description = "Names that stand for a node at the head of a path.",
      .aspects = aspects,
      .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
