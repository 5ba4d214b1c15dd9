// The universal protocol over /api/v1 (http-api.md section 11).

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/aspect_stream.hpp"
#include "gateway/agentese/compositions.hpp"
#include "gateway/agentese/envelope.hpp"
#include "gateway/agentese/problems.hpp"
#include "gateway/route.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field invoke_fields[] = {
    {.name = "kwargs", .type = value_type::object, .default_json = "{}"},
    {.name = "entropy_budget",
     .type = value_type::number,
     .default_json = "0",
     .meaning = "Drawn from the tenant's pool, and given back if the aspect fails.",
     .least = 0,
     .most = 1},
    {.name = "observer",
     .type = value_type::object,
     .nullable = true,
     .meaning = "`archetype`, `id`, `capabilities`; beats the headers."},
    {.name = "capability", .nullable = true, .meaning = "A capability token.", .max_bytes = 8192},
};
constexpr schema invoke_body{"AspectRequest", invoke_fields};

constexpr std::string_view partial_results[] = {"fail-fast", "collect"};

constexpr field compose_fields[] = {
    {.name = "paths", .type = value_type::array, .required = true, .meaning = "of the stages"},
    {.name = "initial_input", .type = value_type::any, .meaning = "The first stage's `input`."},
    {.name = "emit_law_check", .type = value_type::boolean, .default_json = "true"},
    {.name = "observer", .type = value_type::object, .nullable = true},
    {.name = "partial_results",
     .default_json = "\"fail-fast\"",
     .meaning = "collect: go on behind a stage that failed.",
     .one_of = partial_results},
    {.name = "without_enforcement",
     .type = value_type::boolean,
     .default_json = "false",
     .meaning = "Let a stage return an array."},
    {.name = "capability", .nullable = true, .meaning = "A capability token.", .max_bytes = 8192},
};
constexpr schema compose_body{"ComposeRequest", compose_fields};

constexpr field laws_fields[] = {
    {.name = "paths", .type = value_type::array, .required = true, .meaning = "of the stages"},
    {.name = "initial_input", .type = value_type::any},
    {.name = "observer", .type = value_type::object, .nullable = true},
};
constexpr schema laws_body{"VerifyLawsRequest", laws_fields};

constexpr field envelope_fields[] = {
    {.name = "handle", .required = true},
    {.name = "result", .type = value_type::any, .required = true},
    {.name = "meta",
     .type = value_type::object,
     .required = true,
     .meaning = "observer, span_id, timestamp, duration_ms, laws_verified, cached"},
};
constexpr schema envelope_shape{"AspectResponse", envelope_fields};

constexpr field compose_answer_fields[] = {
    {.name = "result", .type = value_type::any, .required = true},
    {.name = "pipeline_trace", .type = value_type::array, .required = true},
    {.name = "laws_verified", .type = value_type::array, .required = true},
    {.name = "meta", .type = value_type::object, .required = true},
};
constexpr schema compose_answer{"ComposeResponse", compose_answer_fields};

constexpr field laws_answer_fields[] = {
    {.name = "identity_holds", .type = value_type::boolean, .required = true},
    {.name = "associativity_holds", .type = value_type::boolean, .required = true},
    {.name = "errors", .type = value_type::array, .required = true},
    {.name = "locus", .required = true},
};
constexpr schema laws_answer{"VerifyLawsResponse", laws_answer_fields};

constexpr field affordances_fields[] = {
    {.name = "path", .required = true},
    {.name = "affordances", .type = value_type::array, .required = true},
    {.name = "observer_archetype", .required = true},
    {.name = "handle", .required = true},
};
constexpr schema affordances_shape{"NodeAffordancesResponse", affordances_fields};

constexpr field resolve_fields[] = {
    {.name = "path", .required = true},
    {.name = "handle", .required = true},
    {.name = "context", .required = true},
    {.name = "holon", .required = true},
    {.name = "exists", .type = value_type::boolean, .required = true},
    {.name = "is_jit", .type = value_type::boolean, .required = true},
    {.name = "affordances", .type = value_type::array, .required = true},
};
constexpr schema resolve_shape{"NodeResponse", resolve_fields};

/// The invocation of this call with its observer; none: the call was refused.
std::optional<actors::invocation> asked(const call_ptr& c) {
  auto who = observer_of_headers(c->x->in(), universal_observer);
  if (const auto* wrong = std::get_if<agentese::error>(&who)) {
    refuse_with(c, universal_problem(*wrong, ""));
    return std::nullopt;
  }
  auto out = invocation_of(*c, "api");
  out.who = std::get<agentese::observer>(std::move(who));
  if (const auto* inside = c->body.if_contains("observer");
      inside != nullptr && !inside->is_null()) {
    violations wrong;
    read_observer(*inside, out.who, wrong, {"body", "observer"});
    if (!wrong.empty()) {
      c->refuse_unprocessable(std::move(wrong));
      return std::nullopt;
    }
  }
  return out;
}

/// The same for a node of the path, whose first segment has to be a context.
std::optional<actors::invocation> asked_at_node(const call_ptr& c) {
  if (!agentese::parse_context(c->segments[0])) {
    refuse_with(c, invalid_context(c->segments[0]));
    return std::nullopt;
  }
  return asked(c);
}

std::string node_of(const call& c) { return c.segments[0] + "." + c.segments[1]; }

void answer_with(const call_ptr& c, std::string_view handle, std::string_view observer,
                 const actors::invoked& x) {
  add_tokens(*c->who, uint64_t{x.tokens_in} + x.tokens_out);
  if (const auto* wrong = std::get_if<agentese::error>(&x.result))
    refuse_with(c, universal_problem(*wrong, x.span_id));
  else if (const auto* declined = std::get_if<agentese::refused>(&x.result))
    refuse_with(c, universal_problem(*declined, x.span_id));
  else
    c->reply(200, universal_envelope(handle, observer, x));
}

void run(const call_ptr& c, actors::invocation what) {
  auto answer = [c, handle = what.path, observer = what.who.archetype](const actors::invoked& x) {
    answer_with(c, handle, observer, x);
  };
  c->at.logos.invoke(c->port(), std::move(what), std::move(answer));
}

void manifest(const call_ptr& c) {
  auto what = asked_at_node(c);
  if (!what)
    return;
  what->path = node_of(*c) + ".manifest";
  run(c, std::move(*what));
}

void invoke(const call_ptr& c) {
  auto what = asked_at_node(c);
  if (!what)
    return;
  what->path = node_of(*c) + "." + c->segments[2];
  what->kwargs = json::serialize(c->body.at("kwargs"));
  what->entropy_budget = c->body.at("entropy_budget").to_number<double>();
  const std::string_view path = what->path;
  if (c->fits(token_estimate(c->at.logos.nodes(), path, c->who->key.tier)))
    run(c, std::move(*what));
}

/// What the node is; `answer` gets none when it cannot be told.
void look_up(const call_ptr& c, std::function<void(const actors::resolved*)> answer) {
  auto what = asked_at_node(c);
  if (!what)
    return;
  what->path = node_of(*c);
  c->at.logos.resolve(c->port(), std::move(*what),
                      [c, answer](const std::variant<actors::resolved, agentese::error>& out) {
                        const auto* wrong = std::get_if<agentese::error>(&out);
                        if (wrong != nullptr && wrong->category != agentese::category::not_found)
                          refuse_with(c, universal_problem(*wrong, ""));
                        else
                          answer(std::get_if<actors::resolved>(&out));
                      });
}

void affordances(const call_ptr& c) {
  look_up(c, [c](const actors::resolved* x) {
    const auto node = node_of(*c);
    const auto who = c->x->in().header("x-observer-archetype");
    std::string out = R"({"path":)";
    append_json_string(out, node);
    out += R"(,"affordances":)";
    append_list(out, x != nullptr ? x->affordances : std::vector<std::string>{});
    out += R"(,"observer_archetype":)";
    append_json_string(out, who.empty() ? universal_observer.archetype : who);
    out += R"(,"handle":)";
    append_json_string(out, node);
    out += '}';
    c->reply(200, std::move(out));
  });
}

void resolve(const call_ptr& c) {
  look_up(c, [c](const actors::resolved* x) {
    const auto node = node_of(*c);
    const bool exists = x != nullptr && x->exists;
    // Of a node that a tenant has defined, in contrast to one of the table.
    const bool is_jit = exists && x->entry != nullptr && x->entry->spec().resolve != nullptr;
    std::string out = R"({"path":)";
    append_json_string(out, node);
    out += R"(,"handle":)";
    append_json_string(out, node);
    out += R"(,"context":)";
    append_json_string(out, c->segments[0]);
    out += R"(,"holon":)";
    append_json_string(out, c->segments[1]);
    out += exists ? R"(,"exists":true)" : R"(,"exists":false)";
    out += is_jit ? R"(,"is_jit":true)" : R"(,"is_jit":false)";
    out += R"(,"affordances":)";
    append_list(out, x != nullptr ? x->affordances : std::vector<std::string>{});
    out += '}';
    c->reply(200, std::move(out));
  });
}

/// Each path of a composition begins with a context, or an alias, and has an aspect; else the call
/// is refused before anything runs.
bool well_formed(const call_ptr& c, const std::vector<std::string>& paths) {
  for (const auto& path : paths) {
    const auto first = agentese::first_segment(path);
    const auto segments = 1 + std::count(path.begin(), path.end(), '.');
    if (path == "Id" || !agentese::parse_context(first) || segments >= 3)
      continue;  // whether another first segment is an alias, only the tenant's context knows
    refuse_with(c, missing_aspect(path));
    return false;
  }
  return true;
}

struct composing {
  actors::composition_request ask;
  std::string observer;
};

std::optional<composing> composition_of(const call_ptr& c) {
  violations wrong;
  auto paths = read_paths(c->body, wrong);
  if (!wrong.empty()) {
    c->refuse_unprocessable(std::move(wrong));
    return std::nullopt;
  }
  if (!well_formed(c, paths))
    return std::nullopt;
  auto what = asked(c);
  if (!what || !c->fits(token_estimate(c->at.logos.nodes(), paths, c->who->key.tier)))
    return std::nullopt;
  composing out;
  out.observer = what->who.archetype;
  out.ask.common = std::move(*what);
  out.ask.paths = std::move(paths);
  out.ask.left = left_by(c);
  if (const auto* input = c->body.if_contains("initial_input");
      input != nullptr && !input->is_null())
    out.ask.initial_input = json::serialize(*input);
  return out;
}

/// The error of a stage, with what ran before it.
void refuse_composed(const call_ptr& c, problem why, const actors::composed& x) {
  auto& detail = why.body.at("detail").as_object();
  detail["pipeline_trace"] = json::parse(trace_text(x));
  if (x.failed_stage)
    detail["failed_stage"] = *x.failed_stage + 1;
  refuse_with(c, why);
}

void answer_composed(const call_ptr& c, const std::string& observer, const actors::composed& x) {
  add_tokens(*c->who, x.tokens);
  if (const auto* wrong = std::get_if<agentese::error>(&x.result)) {
    refuse_composed(c, universal_problem(*wrong, x.span_id), x);
    return;
  }
  if (const auto* declined = std::get_if<agentese::refused>(&x.result)) {
    refuse_composed(c, universal_problem(*declined, x.span_id), x);
    return;
  }
  std::string laws;
  append_list(laws, x.laws_verified);
  std::string out = R"({"result":)";
  out += *result_of(x);
  out += R"(,"pipeline_trace":)" + trace_text(x);
  out += R"(,"laws_verified":)" + laws;
  out += R"(,"meta":)";
  append_meta(out, {observer, x.span_id, x.duration_ms, laws});
  out += '}';
  c->reply(200, std::move(out));
}

void compose(const call_ptr& c) {
  const auto partial = c->text_of("partial_results");
  if (partial != "fail-fast" && partial != "collect") {
    c->refuse(400, "Invalid partial_results. Valid: fail-fast, collect");
    return;
  }
  auto x = composition_of(c);
  if (!x)
    return;
  x->ask.emit_law_check = c->body.at("emit_law_check").as_bool();
  x->ask.enforce_minimal_output = !c->body.at("without_enforcement").as_bool();
  x->ask.collect = partial == "collect";
  c->at.logos.compose(c->port(), std::move(x->ask),
                      [c, observer = x->observer](const actors::composed& done) {
                        answer_composed(c, observer, done);
                      });
}

void verify_laws(const call_ptr& c) {
  auto x = composition_of(c);
  if (!x)
    return;
  c->at.logos.verify_laws(
      c->port(), std::move(x->ask),
      [c](const std::variant<actors::law_report, agentese::error>& out) {
        if (const auto* wrong = std::get_if<agentese::error>(&out)) {
          refuse_with(c, universal_problem(*wrong, ""));
          return;
        }
        const auto& report = std::get<actors::law_report>(out);
        json::array errors;
        for (const auto& text : report.errors)
          errors.emplace_back(text);
        c->reply_json(200, json::object{{"identity_holds", report.identity_holds},
                                        {"associativity_holds", report.associativity_holds},
                                        {"errors", std::move(errors)},
                                        {"locus", report.locus}});
      });
}

void stream(const call_ptr& c) {
  auto what = asked_at_node(c);
  if (!what)
    return;
  what->path = node_of(*c) + "." + c->segments[2];
  what->kwargs = kwargs_of_query(c->x->in().query);
  stream_aspect(c, std::move(*what), stream_dialect::universal);
}

constexpr std::string_view tag = "agentese-universal-protocol";
constexpr std::string_view read_needed = "API key requires 'read' scope";

const route table[] = {
    {.method = "POST",
     .path = "/api/v1/compose",
     .tag = tag,
     .summary = "Run paths one after the other, each with the value before it as `input`",
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .body = &compose_body,
     .once = true,
     .answer = &compose_answer,
     .handle = compose},
    {.method = "POST",
     .path = "/api/v1/verify-laws",
     .tag = tag,
     .summary = "Whether identity and associativity hold for these paths",
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .body = &laws_body,
     .answer = &laws_answer,
     .handle = verify_laws},
    {.method = "GET",
     .path = "/api/v1/{context}/{holon}/manifest",
     .tag = tag,
     .summary = "How a node shows itself to the observer",
     .needs = scope::read,
     .refusal_text = read_needed,
     .answer = &envelope_shape,
     .handle = manifest},
    {.method = "GET",
     .path = "/api/v1/{context}/{holon}/affordances",
     .tag = tag,
     .summary = "What the observer may do at a node",
     .needs = scope::read,
     .refusal_text = read_needed,
     .answer = &affordances_shape,
     .handle = affordances},
    {.method = "GET",
     .path = "/api/v1/{context}/{holon}/resolve",
     .tag = tag,
     .summary = "Whether a node is there, and what it affords",
     .needs = scope::read,
     .refusal_text = read_needed,
     .answer = &resolve_shape,
     .handle = resolve},
    {.method = "POST",
     .path = "/api/v1/{context}/{holon}/{aspect}",
     .tag = tag,
     .summary = "Invoke an aspect",
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .body = &invoke_body,
     .body_optional = true,
     .once = true,
     .answer = &envelope_shape,
     .handle = invoke},
    {.method = "GET",
     .path = "/api/v1/{context}/{holon}/{aspect}/stream",
     .tag = tag,
     .summary = "Invoke an aspect and hear its answer as it is made; the query is its kwargs",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .answer_type = "text/event-stream",
     .handle = stream},
};

}  // namespace

std::span<const route> universal_routes() { return table; }

}  // namespace kgents::gateway
