// self.<anything else>: a name that nobody has defined, for who does not insist that it exists.

#include "actors/contexts/self/nodes.hpp"
#include "actors/contexts/self/self_store.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;

namespace {

/// One name deep, as agentese.md 3 has it.
task<resolution> resolve(aspect_call& c) {
  if (agentese::first_segment(c.node()).size() + 1 + c.name().size() != c.node().size()) {
    auto why = agentese::errors::node_not_registered(c.node(), c.similar());
    co_await c.fail(std::move(why));
  }
  co_return resolution{};
}

/// What self.state keeps under that name, if anything.
task<outcome> inspect(aspect_call& c) {
  const std::string name{c.name()};
  auto state = co_await self_store::load(c, name);
  const bool kept = !state.is_null();
  co_return json::object{{"handle", c.node()},
                         {"name", name},
                         {"kind", "generic"},
                         {"exists", kept},
                         {"state", std::move(state)}};
}

constexpr aspect_spec aspects[] = {
    {.name = "inspect",
     .run = inspect,
     .help = "What there is under this name.",
     .returns = "{handle: string, name: string, kind: string, exists: boolean, state: any}",
     .effects = "reads:state"},
};

}  // namespace

void register_generic(registry& to) {
  static constexpr node_spec spec{.path = "self.*",
                                  .description = "A part of this self that nobody has defined.",
                                  .aspects = aspects,
                                  .common = "*",
                                  .resolve = resolve,
                                  .generic = true};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
