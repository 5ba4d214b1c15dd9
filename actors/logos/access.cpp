// What an observer and a caller may: everything that is known without asking anybody.

#include <algorithm>

#include "actors/logos/steps.hpp"

namespace kgents::actors {

namespace {

/// What counts of the capabilities that were asked for: those the credential carries.
std::vector<std::string> effective(const std::vector<std::string>& wanted,
                                   const agentese::caller& by) {
  std::vector<std::string> out;
  for (const auto& x : wanted) {
    const bool scope = (x == "read" && by.read) || (x == "write" && by.write) ||
                       (x == "admin" && by.admin);
    if (scope || std::find(by.proven.begin(), by.proven.end(), x) != by.proven.end())
      out.push_back(x);
  }
  return out;
}

agentese::error not_registered(const registry& nodes, const agentese::path& at, bool strict) {
  const auto similar = nodes.similar(at.node);
  if (strict)
    return agentese::errors::node_not_registered(at.node, similar);
  return agentese::errors::path_not_found(
      at.text(), "Nothing is registered at '" + std::string{at.node} + "'", similar);
}

}  // namespace

std::optional<agentese::error> check_access(const node_entry& node, const aspect_entry& aspect,
                                            std::string_view full_path,
                                            const agentese::caller& by) {
  const auto& spec = *aspect.spec;
  if (!by.read)
    return agentese::errors::scope_required(full_path, "read");
  if (spec.required_capability == "admin" && !by.admin)
    return agentese::errors::scope_required(full_path, "admin");
  const bool mutates = spec.category == aspect_category::mutation ||
                       spec.category == aspect_category::generation ||
                       spec.required_capability == "write";
  if (!mutates || node.spec().read_suffices || by.write)
    return std::nullopt;
  // A key that may only read, with capability tokens for everything that is written.
  const auto needed = agentese::required_capabilities(aspect.effects);
  if (by.proven.empty() || needed.empty())
    return agentese::errors::scope_required(full_path, "write");
  for (const auto& x : needed)
    if (std::find(by.proven.begin(), by.proven.end(), x) == by.proven.end())
      return agentese::errors::capability_required(full_path, x);
  return std::nullopt;
}

checked_path check_path(const registry& nodes, const invocation& what, const agentese::path& at) {
  checked_path out;
  const auto full_path = at.text();
  out.node = nodes.find(at.node).node;
  if (out.node == nullptr || (what.strict && !what.internal && out.node->spec().generic)) {
    out.wrong = not_registered(nodes, at, what.strict);
    return out;
  }
  out.aspect = out.node->find(at.aspect);
  const bool known =
      out.aspect != nullptr && (what.internal || !out.aspect->spec->internal) &&
      (what.internal ||
       out.node->affords(what.who.archetype, what.who.capabilities, at.aspect) ||
       // What a lineage gives, only the node itself knows: of concepts it may be anything.
       (out.node->spec().resolve != nullptr &&
        (out.aspect->archetypes.empty() || at.context == agentese::context::concept_)));
  if (!known) {
    const auto have = out.node->affordances(what.who.archetype, what.who.capabilities);
    out.wrong =
        agentese::errors::affordance_denied(full_path, at.aspect, what.who.archetype, have);
    return out;
  }
  if (!what.internal)
    out.wrong = check_access(*out.node, *out.aspect, full_path, what.by);
  return out;
}

task<std::optional<agentese::error>> prepare(flow& f, logos_parts with, invocation& what) {
  if (what.trace_id.empty())
    what.trace_id = new_trace_id();
  if (!what.capability.empty()) {
    const flow::asking<logos::proven>::begin ask = [&](std::function<void(logos::proven)> done) {
      with.proves(f.port(), what.tenant, what.capability, std::move(done));
    };
    auto proven = co_await f.wait<logos::proven>(ask);
    if (auto* wrong = std::get_if<1>(&proven))
      co_return std::move(*wrong);
    what.by.proven = std::move(std::get<0>(proven));
    what.capability.clear();
  }
  if (!what.internal)
    what.who.capabilities = effective(what.who.capabilities, what.by);
  co_return std::nullopt;
}

}  // namespace kgents::actors
