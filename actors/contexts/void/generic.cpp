// void.<anything>: every other name of the void sips and tithes on the shared pool.

#include "actors/contexts/void/nodes.hpp"
#include "actors/contexts/void/pool.hpp"

namespace kgents::actors::void_nodes {

namespace {

/// Nobody defines these: they are there for who is lenient, one name deep.
task<resolution> resolve(aspect_call& c) {
  if (agentese::first_segment(c.node()).size() + 1 + c.name().size() != c.node().size()) {
    auto why = agentese::errors::node_not_registered(c.node(), c.similar());
    co_await c.fail(std::move(why));
  }
  co_return resolution{};
}

constexpr aspect_spec aspects[] = {
    {.name = "sip",
     .category = aspect_category::entropy,
     .run = sip,
     .help = "Draws an amount from the shared pool.",
     .args = sip_args,
     .returns = sip_shape,
     .effects = "charges:entropy"},
    {.name = "tithe",
     .category = aspect_category::entropy,
     .run = tithe,
     .help = "Lets the shared pool grow again.",
     .returns = tithe_shape,
     .effects = "earns:entropy 0.1"},
};

}  // namespace

void register_generic(registry& to) {
  static constexpr node_spec spec{.path = "void.*",
                                  .description = "A corner of the void on the shared pool.",
                                  .aspects = aspects,
                                  .common = "*",
                                  .resolve = resolve,
                                  .generic = true};
  to.add(spec);
}

}  // namespace kgents::actors::void_nodes
