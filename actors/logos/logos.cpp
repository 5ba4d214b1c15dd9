#include "actors/logos/logos.hpp"

#include <boost/json/serialize.hpp>

#include "actors/logos/curator.hpp"
#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"
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

runtime::agentese::mark mark_of(const invocation& what, const invoked& x) {
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
  return out;
}

/// One mark, whatever came of it. What never became a path of a context is no invocation. Tokens
/// are written before the answer is given: no crash makes them free.
task<bool> note(flow& f, runtime::agentese::journal& to, const invocation& what, const invoked& x) {
  if (what.internal || x.node.empty())
    co_return false;
  auto mark = mark_of(what, x);
  if (mark.usage.value.is_nil() || mark.tokens == 0 || !f.port().later([] {})) {
    to.note(std::move(mark));
    co_return true;
  }
  const auto write = [&f, &to, &mark](std::function<void(bool)> done) {
    to.note(std::move(mark), f.port().later([done = std::move(done)] { done(true); }));
  };
  co_return co_await f.wait<bool>(write);
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

/// What was charged before an aspect that did not come to its end; of an id that charged nothing it
/// gives nothing.
task<bool> give_back(flow& f, const invocation& what, std::string charge) {
  agentese::error ignored;
  json::object kwargs;
  kwargs["id"] = charge;
  const auto back = co_await ask_internally(f, what, agentese::context::void_, "void.entropy",
                                            "refund", std::move(kwargs), ignored);
  if (!back)
    log::error("a charge could not be given back",
               {{"tenant_id", what.tenant.text()}, {"charge", charge}});
  co_return back.has_value();
}

/// Most paths are: they need no look at aliases.
bool is_canonical(std::string_view path) noexcept {
  return agentese::parse_context(agentese::first_segment(path)) && !agentese::has_modifiers(path);
}

}  // namespace

std::string new_trace_id() {
  auto text = uuid::random().text();
  std::erase(text, '-');
  return text;
}

std::string new_span_id() { return new_trace_id().substr(0, 16); }

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

/// All steps of one invocation (agentese.md 3) but its mark.
task<bool> carry_out(flow& f, logos_parts with, invocation& what, invoked& out) {
  if (auto wrong = co_await prepare(f, with, what)) {
    out.result = std::move(*wrong);
    co_return false;
  }
  out.trace_id = what.trace_id;
  if (!is_canonical(what.path)) {
    auto written = co_await canonical(f, what, std::move(what.path));
    if (auto* wrong = std::get_if<1>(&written)) {
      out.result = std::move(*wrong);
      co_return false;
    }
    what.path = std::move(std::get<0>(written));
  }
  const auto parsed = agentese::parse_path(
      what.path, what.lenient_aspect ? agentese::needs::lenient : agentese::needs::aspect);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed)) {
    out.result = agentese::errors::path_syntax(what.path, *wrong);
    co_return false;
  }
  const auto& at = std::get<agentese::path>(parsed);
  out.node = at.node;
  out.aspect = at.aspect;
  auto checks = check_path(with.nodes, what, at);
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
  if (what.billed && !what.internal && !with.journal.admits()) {
    out.result = agentese::errors::unavailable(
        at.text(), "What it costs cannot be written down just now. Try again shortly.", 1);
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
      // An answer that was lost may be of a charge that was made.
      if (wrong.category == agentese::category::timeout ||
          wrong.category == agentese::category::unavailable)
        (void)co_await give_back(f, what, charge);
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
  auto got = co_await f.ask<agentese::aspect_answer>(
      context_of(what, at.context), std::move(message));
  take_answer(out, std::move(got), deadline_ms);
  if (!out.ok() && !charge.empty())
    (void)co_await give_back(f, what, charge);
  co_return true;
}

task<invoked> invoke_one(flow& f, logos_parts with, invocation what, std::string span_id) {
  const auto began = clock::now();
  invoked out;
  out.span_id = std::move(span_id);
  try {
    const bool ran = co_await carry_out(f, with, what, out);
    // What the critic of self.judgment has generated, it curates itself.
    if (ran && out.ok() && !what.internal && is_curated(out.node, out.aspect) &&
        !what.caller_path.starts_with("self.judgment."))
      (void)co_await curate(f, with.nodes, what, out);
  } catch (const std::exception& why) {
    out.result = unexpected(why);
    out.body.clear();
  }
  out.duration_ms = static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - began).count());
  (void)co_await note(f, with.journal, what, out);
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

}  // namespace

void logos::invoke(runtime::port& on, invocation what, std::function<void(invoked)> done) const {
  flow::start(on, [&](flow& f) {
    return invoke_flow(f, {nodes_, prove_, journal_, seen_}, std::move(what), std::move(done));
  });
}

}  // namespace kgents::actors
