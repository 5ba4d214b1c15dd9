// A tenant's aliases over /v1 (design.md section 10): the aspects of self.aliases under names that
// a client of HTTP expects.

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/problems.hpp"
#include "gateway/route.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field put_fields[] = {
    {.name = "target", .required = true, .meaning = "context.holon, or deeper", .max_bytes = 1024},
};
constexpr schema put_body{"AliasRequest", put_fields};

/// Invokes an aspect of self.aliases and answers with its result.
void invoke(const call_ptr& c, std::string_view aspect, const json::object& kwargs,
            std::function<void(const actors::invoked&)> answer) {
  auto what = invocation_of(*c, "v1");
  // Names are no matter of observers: whoever asks may see them, and the key says who may set them.
  what.who.archetype = "admin";
  what.who.id = v1_observer.id;
  what.path = "self.aliases." + std::string{aspect};
  what.kwargs = json::serialize(kwargs);
  c->at.logos.invoke(c->port(), std::move(what), [c, answer](const actors::invoked& x) {
    const problem* told = nullptr;
    problem made;
    if (const auto* wrong = std::get_if<agentese::error>(&x.result))
      told = &(made = v1_problem(*wrong));
    else if (const auto* declined = std::get_if<agentese::refused>(&x.result))
      told = &(made = v1_problem(*declined));
    if (told != nullptr)
      c->reply(told->status, told->text(), "application/json", told->lines);
    else
      answer(x);
  });
}

void list(const call_ptr& c) {
  invoke(c, "list", {}, [c](const actors::invoked& x) { c->reply(200, x.body); });
}

/// One of the list.
void get(const call_ptr& c) {
  invoke(c, "list", {}, [c](const actors::invoked& x) {
    const auto& name = c->segments[0];
    const auto all = json::parse(x.body).at("aliases").as_object();
    if (const auto* target = all.if_contains(name)) {
      c->reply_json(200, json::object{{"name", name}, {"target", *target}});
    } else {
      const auto told = v1_problem(agentese::errors::alias_not_found(name));
      c->reply(told.status, told.text(), "application/json", told.lines);
    }
  });
}

void put(const call_ptr& c) {
  invoke(c, "set", {{"name", c->segments[0]}, {"target", c->text_of("target")}},
         [c](const actors::invoked& x) { c->reply(200, x.body); });
}

void remove(const call_ptr& c) {
  invoke(c, "remove", {{"name", c->segments[0]}},
         [c](const actors::invoked&) { c->reply(204, "", ""); });
}

constexpr std::string_view read_needed = "API key requires 'read' scope";
constexpr std::string_view write_needed = "API key requires 'write' scope to change aliases";

const route table[] = {
    {.method = "GET",
     .path = "/v1/agentese/aliases",
     .tag = "agentese",
     .summary = "The tenant's aliases, the standard ones included",
     .needs = scope::read,
     .refusal_text = read_needed,
     .handle = list},
    {.method = "GET",
     .path = "/v1/agentese/aliases/{name}",
     .tag = "agentese",
     .summary = "What an alias stands for",
     .needs = scope::read,
     .refusal_text = read_needed,
     .handle = get},
    {.method = "PUT",
     .path = "/v1/agentese/aliases/{name}",
     .tag = "agentese",
     .summary = "Let a name stand for a node",
     .needs = scope::write,
     .refusal_text = write_needed,
     .body = &put_body,
     .handle = put},
    {.method = "DELETE",
     .path = "/v1/agentese/aliases/{name}",
     .tag = "agentese",
     .summary = "Forget an alias",
     .needs = scope::write,
     .refusal_text = write_needed,
     .success = 204,
     .handle = remove},
};

}  // namespace

std::span<const route> agentese_alias_routes() { return table; }

}  // namespace kgents::gateway
