// What a node path is to an observer.

#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"

namespace kgents::actors {

namespace {

using resolve_result = std::variant<resolved, agentese::error>;

task<resolve_result> resolve_one(flow& f, logos_parts with, invocation what) {
  if (auto wrong = co_await prepare(f, with, what))
    co_return std::move(*wrong);
  auto written = co_await canonical(f, what, std::move(what.path));
  if (auto* wrong = std::get_if<1>(&written))
    co_return std::move(*wrong);
  what.path = std::move(std::get<0>(written));
  const auto parsed = agentese::parse_path(what.path, agentese::needs::node);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed))
    co_return agentese::errors::path_syntax(what.path, *wrong);
  const auto& at = std::get<agentese::path>(parsed);
  resolved out;
  out.node = at.node;
  out.entry = with.nodes.find(at.node).node;
  if (out.entry == nullptr || (what.strict && out.entry->spec().generic)) {
    out.entry = nullptr;
    co_return out;
  }
  if (out.entry->spec().resolve == nullptr) {
    out.exists = true;
    out.affordances = out.entry->affordances(what.who.archetype, what.who.capabilities);
    co_return out;
  }
  auto message = message_of(what, out.node, "affordances");
  message.kwargs = "{}";
  message.strict = false;
  message.check_only = message.repeatable = true;
  message.span_id = new_span_id();
  const auto got = co_await f.ask<agentese::aspect_answer>(
      context_of(what, at.context), std::move(message));
  if (!got.ok())
    co_return error_of(got.wrong, what.path, 10'000);
  boost::system::error_code bad;
  const auto value = parse_own(got.value.body, bad);
  if (got.value.kind != agentese::answer_kind::value)
    co_return agentese::from_json(value).value_or(agentese::errors::internal(what.path));
  out.exists = value.at("exists").as_bool();
  for (const auto& x : value.at("affordances").as_array())
    out.affordances.emplace_back(x.as_string());
  co_return out;
}

task<bool> resolve_flow(flow& f, logos_parts with, invocation what,
                        std::function<void(resolve_result)> done) {
  resolve_result out;
  try {
    out = co_await resolve_one(f, with, std::move(what));
  } catch (const std::exception& why) {
    out = unexpected(why);
  }
  done(std::move(out));
  co_return true;
}

}  // namespace

void logos::resolve(runtime::port& on, invocation what,
                    std::function<void(resolve_result)> done) const {
  flow::start(on, [&](flow& f) {
    return resolve_flow(f, {nodes_, prove_, journal_, seen_}, std::move(what), std::move(done));
  });
}

}  // namespace kgents::actors
