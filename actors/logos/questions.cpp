// What the logos asks contexts, for a client and for itself.

#include <boost/json/serialize.hpp>

#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"
#include "protocol/agentese/federation.hpp"
#include "protocol/agentese/legacy.hpp"

namespace kgents::actors {

namespace json = boost::json;

entity_id context_of(const invocation& what, agentese::context where) {
  const auto first = static_cast<uint8_t>(entity_kind::world);
  return context_entity(static_cast<entity_kind>(first + static_cast<uint8_t>(where)), what.tenant);
}

agentese::error error_of(const refusal& why, std::string_view full_path, uint32_t deadline_ms) {
  if (why.status == 504)
    return agentese::errors::timeout(full_path, std::chrono::milliseconds{deadline_ms});
  return agentese::errors::unavailable(full_path, why.detail,
                                       std::max(1u, why.retry_after_seconds));
}

agentese::invoke_aspect message_of(const invocation& what, std::string node, std::string aspect) {
  agentese::invoke_aspect out;
  out.node = std::move(node);
  out.aspect = std::move(aspect);
  out.kwargs = what.kwargs;
  out.who = what.who;
  out.by = what.by;
  out.origin = what.origin;
  out.trace_id = what.trace_id;
  out.depth = what.depth;
  out.strict = what.strict;
  out.internal = what.internal;
  return out;
}

task<std::optional<json::value>> ask_internally(flow& f, const invocation& what,
                                                agentese::context where, std::string node,
                                                std::string aspect, json::object kwargs,
                                                agentese::error& wrong) {
  auto message = message_of(what, std::move(node), std::move(aspect));
  message.kwargs = json::serialize(kwargs);
  message.internal = true;
  message.origin = "internal";
  message.span_id = new_span_id();
  const auto path = message.node + "." + message.aspect;
  const auto got = co_await f.ask<agentese::aspect_answer>(
      context_of(what, where), std::move(message));
  if (!got.ok()) {
    wrong = error_of(got.wrong, path, 10'000);
    co_return std::nullopt;
  }
  auto value = parse_own(got.value.body);
  if (got.value.kind == agentese::answer_kind::value)
    co_return std::optional{std::move(value)};
  wrong = agentese::from_json(value).value_or(agentese::errors::internal(path));
  co_return std::nullopt;
}

task<canonical_path> canonical(flow& f, const invocation& what, std::string path) {
  if (auto foreign = agentese::refuse_federation(path))
    co_return std::move(*foreign);
  const std::string first{agentese::first_segment(path)};
  if (!agentese::parse_context(first) && agentese::is_identifier(first)) {
    agentese::error ignored;
    json::object kwargs;
    kwargs["name"] = first;
    const auto got = co_await ask_internally(f, what, agentese::context::self, "self.aliases",
                                             "expand", std::move(kwargs), ignored);
    if (got && got->is_object())
      if (const auto* target = got->get_object().if_contains("target");
          target != nullptr && target->is_string())
        path = std::string{target->get_string()} + path.substr(first.size());
  }
  if (agentese::has_modifiers(path)) {
    auto old = agentese::parse_legacy(path, agentese::strictness::strict, agentese::needs::node);
    if (const auto* wrong = std::get_if<agentese::syntax_error>(&old))
      co_return agentese::errors::path_syntax(path, *wrong);
    path = std::get<agentese::legacy_path>(old).core.text();
  }
  co_return path;
}

}  // namespace kgents::actors
