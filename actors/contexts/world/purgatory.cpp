// world.purgatory: decisions that wait for a human. The tokens are self.semaphore's; this is where
// those who decide find them.

#include "actors/contexts/call.hpp"
#include "actors/contexts/world/nodes.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// Asks self.semaphore, which knows what may be done to a token.
task<outcome> ask(aspect_call& c, std::string aspect) {
  auto kwargs = c.args();
  auto asking = c.invoke("self.semaphore." + aspect, std::move(kwargs), true);
  auto out = co_await asking;
  co_return std::move(out);
}

task<outcome> list(aspect_call& c) {
  auto out = co_await ask(c, "list");
  co_return std::move(out);
}
task<outcome> inspect(aspect_call& c) {
  auto out = co_await ask(c, "inspect");
  co_return std::move(out);
}
task<outcome> resolve(aspect_call& c) {
  auto out = co_await ask(c, "resolve");
  co_return std::move(out);
}
task<outcome> cancel(aspect_call& c) {
  auto out = co_await ask(c, "cancel");
  co_return std::move(out);
}
task<outcome> void_expired(aspect_call& c) {
  auto out = co_await ask(c, "void_expired");
  co_return std::move(out);
}

constexpr argument id_arg{.name = "token_id", .required = true, .max_bytes = 128};
constexpr argument id_args[] = {id_arg};
constexpr argument resolve_args[] = {id_arg,
                                     {.name = "human_input",
                                      .type = argument_type::any,
                                      .required = true,
                                      .meaning = "the decision"}};
constexpr std::string_view some_token = R"({"token_id":"unknown"})";

constexpr aspect_spec aspects[] = {
    {.name = "list",
     .run = list,
     .help = "Tokens that wait for a decision.",
     .returns = "object",
     .effects = "reads:semaphore"},
    {.name = "inspect",
     .run = inspect,
     .help = "One token.",
     .args = id_args,
     .returns = "object",
     .effects = "reads:semaphore",
     .example = some_token},
    {.name = "resolve",
     .category = aspect_category::mutation,
     .run = resolve,
     .help = "Decides; only a pending token changes.",
     .args = resolve_args,
     .returns = "object",
     .effects = "writes:semaphore",
     .example = R"({"token_id":"unknown","human_input":"approve"})"},
    {.name = "cancel",
     .category = aspect_category::mutation,
     .run = cancel,
     .help = "Withdraws a pending token.",
     .args = id_args,
     .returns = "object",
     .effects = "writes:semaphore",
     .example = some_token},
    {.name = "void_expired",
     .category = aspect_category::mutation,
     .run = void_expired,
     .help = "Voids pending tokens whose deadline has passed.",
     .returns = "object",
     .effects = "writes:semaphore"},
};
constexpr archetype_row rows[] = {
    {"admin developer architect", "list inspect resolve cancel void_expired"},
    {"*", "list inspect"},
};
constexpr node_spec purgatory_node{.path = "world.purgatory",
                                   .description = "Decisions that wait for a human.",
                                   .aspects = aspects,
                                   .rows = rows};

}  // namespace

void register_purgatory(registry& to) { to.add(purgatory_node); }

}  // namespace kgents::actors
