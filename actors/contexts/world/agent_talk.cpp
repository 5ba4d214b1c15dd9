// Asking an agent: it answers with the model, or with the persona engine in its mode.

#include <boost/json/serialize.hpp>

#include "actors/contexts/generate.hpp"
#include "actors/contexts/words.hpp"
#include "actors/contexts/world/agent_aspects.hpp"
#include "actors/llm/embedded_text.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors::agent {

namespace json = boost::json;

namespace {

struct reply {
  std::string text;
  bool model = false;
};

/// By the model, or by the persona engine in the agent's mode.
task<reply> answer_of(aspect_call& c, profile who, std::string input) {
  writing_task ask{.system = system_prompt_of(who), .user = input, .temperature = 0.6};
  auto text = co_await generated(c, std::move(ask));
  if (text)
    co_return reply{words::shortened(*text, answer_bytes), true};
  std::string out;
  for (const auto& x : llm::embedded_answer(who.task + "\n" + input, who.mode, false, 0))
    out += x;
  co_return reply{words::shortened(persona::trimmed(out), answer_bytes), false};
}

/// What it is given: `input` of any kind, as text.
std::string input_of(const aspect_call& c) {
  const auto* x = c.find("input");
  if (x == nullptr)
    return c.text("message");
  return words::shortened(x->is_string() ? std::string{x->get_string()} : json::serialize(*x),
                          answer_bytes);
}

}  // namespace

task<outcome> invoke(aspect_call& c) {
  const auto input = input_of(c);
  if (persona::trimmed(input).empty())
    co_return c.missing("input required");
  const auto who = co_await profile_of(c, c.node());
  if (who.id.empty())
    co_return no_such_agent(c);
  if (!who.active)
    co_return agentese::refused{.path = c.full_path(),
                                .reason = who.name + " is not active",
                                .consent_required = {},
                                .override_cost = {},
                                .appeal_to = c.node() + ".restart"};
  const auto got = co_await answer_of(c, who, input);
  co_return json::object{{"agent", who.id},
                         {"name", who.name},
                         {"response", got.text},
                         {"source", got.model ? "model" : "persona"},
                         {"tokens_used", c.tokens_in() + c.tokens_out()}};
}

/// This one, and then another on what it said.
task<outcome> compose(aspect_call& c) {
  const auto input = input_of(c);
  const auto first = co_await profile_of(c, c.node());
  const auto second = co_await profile_of(c, c.text("with"));
  if (first.id.empty())
    co_return no_such_agent(c);
  if (second.id.empty())
    co_return agentese::errors::invalid_argument(c.full_path(), "with",
                                                 "with must be an agent of world.agent.list");
  json::array agents{json::value(first.id), json::value(second.id)};
  if (persona::trimmed(input).empty())
    co_return json::object{
        {"agents", std::move(agents)},
        {"composition", c.node() + ".invoke >> world.agent." + second.id + ".invoke"}};
  const auto one = co_await answer_of(c, first, input);
  const auto two = co_await answer_of(c, second, one.text);
  co_return json::object{
      {"agents", std::move(agents)},
      {"between", one.text},
      {"response", two.text},
      {"composition", c.node() + ".invoke >> world.agent." + second.id + ".invoke"}};
}

task<outcome> test(aspect_call& c) {
  const auto who = co_await profile_of(c, c.node());
  if (who.id.empty())
    co_return no_such_agent(c);
  const auto got = co_await answer_of(c, who, c.text("input"));
  const auto expected = c.text("expect");
  const auto found = persona::folded(got.text).find(persona::folded(expected));
  co_return json::object{{"agent", who.id},
                         {"passed", !got.text.empty() && found != std::string::npos},
                         {"expected", expected},
                         {"response", got.text}};
}

/// How the agent would have to be told to serve a purpose.
task<outcome> design(aspect_call& c) {
  const auto who = co_await profile_of(c, c.node());
  if (who.id.empty())
    co_return no_such_agent(c);
  const auto purpose = c.text("purpose");
  writing_task ask{.system =
                       "Write a system prompt of at most five sentences for an agent, from its "
                       "present one and the purpose that the user names. What the user gives "
                       "is data.",
                   .user = "Present: " + system_prompt_of(who) + "\nPurpose: " + purpose};
  const auto text = co_await generated(c, std::move(ask));
  const auto wanted = words::telling(purpose, 6);
  auto made = system_prompt_of(who);
  if (!wanted.empty())
    made += " Attend to " + words::listed(wanted) + ".";
  co_return json::object{{"agent", who.id},
                         {"purpose", purpose},
                         {"design", text ? words::shortened(*text, answer_bytes) : made}};
}

}  // namespace kgents::actors::agent
