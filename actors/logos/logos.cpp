#include "actors/logos/logos.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "actors/logos/curator.hpp"
#include "actors/logos/flow.hpp"
#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"
#include "protocol/agentese/federation.hpp"
#include "protocol/agentese/legacy.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

namespace {

/// Whether what it gave is a secret of who asked: the log is read by others, and such a token lets
/// whoever bears it pass.
bool gives_secret(const invoked& x) {
  // With a subpath it is the same node.
  return x.aspect == "bypass" && (x.node == "void.capital" || x.node.starts_with("void.capital."));
}

/// One mark, whatever came of it. What never became a path of a context is no invocation.
void note(runtime::agentese::journal& to, const invocation& what, const invoked& x) {
  if (what.internal || x.node.empty())
    return;
  runtime::agentese::mark out;
  out.tenant = what.tenant;
  out.event_id = uuid::time_ordered();
  out.node = x.node;
  out.aspect = x.aspect;
  out.archetype = what.who.archetype;
  out.observer_id = what.who.id;
  if (x.ok()) {
    if (!gives_secret(x))
      out.data = x.body;
  } else if (const auto* wrong = std::get_if<1>(&x.result)) {
    out.type = agentese_event_type::error;
    out.status = wrong->code;
    out.data = json::serialize(json::object{{"error", wrong->message}, {"type", wrong->code}});
  } else {
    const auto& declined = std::get<2>(x.result);
    out.type = agentese_event_type::refused;
    out.status = "REFUSED";
    out.data = json::serialize(json::object{{"reason", declined.reason}});
  }
  out.duration_ms = x.duration_ms;
  out.tokens = out.tokens_in = x.tokens_in;
  out.tokens_out = x.tokens_out;
  out.tokens += x.tokens_out;
  out.trace_id = x.trace_id;
  out.span_id = x.span_id;
  out.parent_span_id = what.parent_span;
  out.origin = what.origin;
  out.caller = what.caller_path;
  out.at = std::chrono::system_clock::now();
  if (what.billed && x.ok())
    out.usage = usage_id{uuid::time_ordered()};
  out.key = what.by.key;
  to.note(std::move(out));
}

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

entity_kind kind_of(agentese::context x) {
  return static_cast<entity_kind>(static_cast<uint8_t>(entity_kind::world) +
                                  static_cast<uint8_t>(x));
}

agentese::error not_registered(const registry& nodes, const agentese::path& at, bool strict) {
  const auto similar = nodes.similar(at.node);
  if (strict)
    return agentese::errors::node_not_registered(at.node, similar);
  return agentese::errors::path_not_found(
      at.text(), "Nothing is registered at '" + std::string{at.node} + "'", similar);
}

}  // namespace

std::string new_trace_id() {
  auto text = uuid::random().text();
  std::erase(text, '-');
  return text;
}

std::string new_span_id() { return new_trace_id().substr(0, 16); }

agentese::error error_of(const refusal& why, std::string_view full_path, uint32_t deadline_ms) {
  if (why.status == 504)
    return agentese::errors::timeout(full_path, std::chrono::milliseconds{deadline_ms});
  return agentese::errors::unavailable(full_path, why.detail,
                                       std::max(1u, why.retry_after_seconds));
}

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

agentese::error unexpected(const std::exception& why) {
  log::error("an invocation failed on its way", {{"error", why.what()}});
  return agentese::errors::internal("");
}

logos::logos(const registry& nodes, runtime::agentese::journal& journal, prove capabilities,
             observer seen)
    : nodes_{nodes},
      journal_{journal},
      prove_{std::move(capabilities)},
      seen_{std::move(seen)} {}

/// One question to a context.
task<answer<agentese::aspect_answer>> ask_context(flow& f, const invocation& what,
                                                  agentese::context where,
                                                  agentese::invoke_aspect message) {
  const auto to = context_entity(kind_of(where), what.tenant);
  auto out = co_await f.ask<agentese::aspect_answer>(to, std::move(message));
  co_return out;
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

/// What the server asks of itself: `node`.`aspect` as it is registered, without a mark. The
/// result, or none.
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
  const auto got = co_await ask_context(f, what, where, std::move(message));
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

namespace {

/// The checks that need no hop: what to run, or why not.
struct checked {
  const node_entry* node = nullptr;
  const aspect_entry* aspect = nullptr;
  std::optional<agentese::error> wrong;
};

checked check(const registry& nodes, const invocation& what, const agentese::path& at) {
  checked out;
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

void take_answer(invoked& out, answer<agentese::aspect_answer> got, uint32_t deadline_ms) {
  const auto full_path = out.node + "." + out.aspect;
  if (!got.ok()) {
    out.result = error_of(got.wrong, full_path, deadline_ms);
    return;
  }
  auto& x = got.value;
  out.tokens_in = x.tokens_in;
  out.tokens_out = x.tokens_out;
  if (x.kind == agentese::answer_kind::value) {
    out.result = json::value{};
    out.body = std::move(x.body);
    return;
  }
  boost::system::error_code bad;
  const auto value = parse_own(x.body, bad);
  if (x.kind == agentese::answer_kind::refused) {
    if (auto declined = agentese::refused_from_json(value))
      out.result = std::move(*declined);
    else
      out.result = agentese::errors::internal(full_path);
    return;
  }
  out.result = agentese::from_json(value).value_or(agentese::errors::internal(full_path));
}

}  // namespace

std::optional<agentese::error> prepare(const logos_parts& with, invocation& what) {
  if (what.trace_id.empty())
    what.trace_id = new_trace_id();
  if (!what.capability.empty()) {
    auto proven = with.proves(what.tenant, what.capability);
    if (auto* wrong = std::get_if<1>(&proven))
      return std::move(*wrong);
    what.by.proven = std::move(std::get<0>(proven));
    what.capability.clear();
  }
  if (!what.internal)
    what.who.capabilities = effective(what.who.capabilities, what.by);
  return std::nullopt;
}

std::optional<agentese::error> check_path(const registry& nodes, const invocation& what,
                                          const agentese::path& at) {
  return check(nodes, what, at).wrong;
}

/// All steps of one invocation (agentese.md 3) but its mark.
task<bool> carry_out(flow& f, logos_parts with, invocation& what, invoked& out) {
  if (auto wrong = prepare(with, what)) {
    out.result = std::move(*wrong);
    co_return false;
  }
  out.trace_id = what.trace_id;
  auto written = co_await canonical(f, what, std::move(what.path));
  if (auto* wrong = std::get_if<1>(&written)) {
    out.result = std::move(*wrong);
    co_return false;
  }
  what.path = std::move(std::get<0>(written));
  const auto parsed = agentese::parse_path(
      what.path, what.lenient_aspect ? agentese::needs::lenient : agentese::needs::aspect);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed)) {
    out.result = agentese::errors::path_syntax(what.path, *wrong);
    co_return false;
  }
  const auto& at = std::get<agentese::path>(parsed);
  out.node = at.node;
  out.aspect = at.aspect;
  auto checks = check(with.nodes, what, at);
  if (checks.wrong) {
    out.result = std::move(*checks.wrong);
    co_return false;
  }
  out.entry = checks.aspect;
  if (what.depth > context::max_depth) {
    out.result = agentese::errors::unavailable(
        at.text(), "Aspects invoke each other more than " +
                       std::to_string(context::max_depth) + " deep");
    co_return false;
  }
  std::string charge;
  if (what.entropy_budget > 0) {
    charge = uuid::random().text();
    agentese::error wrong;
    json::object kwargs;
    kwargs["id"] = charge;
    kwargs["amount"] = what.entropy_budget;
    const auto paid = co_await ask_internally(f, what, agentese::context::void_, "void.entropy",
                                              "charge", std::move(kwargs), wrong);
    if (!paid) {
      out.result = std::move(wrong);
      co_return false;
    }
  }
  auto message = message_of(what, out.node, out.aspect);
  message.span_id = out.span_id;
  message.repeatable = !may_write(checks.aspect->spec->category);
  message.deadline_ms = static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(checks.aspect->spec->deadline).count());
  const auto deadline_ms = message.deadline_ms;
  auto got = co_await ask_context(f, what, at.context, std::move(message));
  take_answer(out, std::move(got), deadline_ms);
  if (!out.ok() && !charge.empty()) {
    agentese::error ignored;
    json::object kwargs;
    kwargs["id"] = charge;
    const auto back = co_await ask_internally(f, what, agentese::context::void_, "void.entropy",
                                              "refund", std::move(kwargs), ignored);
    if (!back)
      log::error("a charge could not be given back",
                 {{"tenant_id", what.tenant.text()}, {"charge", charge}});
  }
  co_return true;
}

task<invoked> invoke_one(flow& f, logos_parts with, invocation what, std::string span_id) {
  const auto began = clock::now();
  invoked out;
  out.span_id = std::move(span_id);
  const bool ran = co_await carry_out(f, with, what, out);
  // What the critic of self.judgment has generated, it curates itself.
  if (ran && out.ok() && !what.internal && is_curated(out.node, out.aspect) &&
      !what.caller_path.starts_with("self.judgment."))
    (void)co_await curate(f, with.nodes, what, out);
  out.duration_ms = static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - began).count());
  note(with.journal, what, out);
  if (!what.internal)
    with.seen.ended(out);
  co_return out;
}

namespace {

task<bool> invoke_flow(flow& f, logos_parts with, invocation what,
                       std::function<void(invoked)> done) {
  const in_flight_guard counted{with.seen};
  invoked out;
  try {
    out = co_await invoke_one(f, with, std::move(what), new_span_id());
  } catch (const std::exception& why) {
    out.result = unexpected(why);
  }
  done(std::move(out));
  co_return true;
}

using resolve_result = std::variant<resolved, agentese::error>;

task<resolve_result> resolve_one(flow& f, logos_parts with, invocation what) {
  if (auto wrong = prepare(with, what))
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
  const auto got = co_await ask_context(f, what, at.context, std::move(message));
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

void logos::invoke(runtime::port& on, invocation what, std::function<void(invoked)> done) const {
  flow::start(on, [&](flow& f) {
    return invoke_flow(f, {nodes_, prove_, journal_, seen_}, std::move(what), std::move(done));
  });
}

void logos::resolve(runtime::port& on, invocation what,
                    std::function<void(resolve_result)> done) const {
  flow::start(on, [&](flow& f) {
    return resolve_flow(f, {nodes_, prove_, journal_, seen_}, std::move(what), std::move(done));
  });
}

}  // namespace kgents::actors
