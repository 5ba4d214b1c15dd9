// AGENTESE over /v1 (http-api.md section 6).

#include <boost/json/serialize.hpp>

#include "gateway/agentese/answer_query.hpp"
#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/compositions.hpp"
#include "gateway/agentese/envelope.hpp"
#include "gateway/agentese/problems.hpp"
#include "gateway/route.hpp"
#include "protocol/agentese/composition.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field invoke_fields[] = {
    {.name = "path",
     .required = true,
     .meaning = "context.holon.aspect; a composition `a >> b` or a pipeline `node.pipe(a, b)` too",
     .max_bytes = 16 * 1024},
    {.name = "observer",
     .type = value_type::object,
     .default_json = "{}",
     .meaning = "`name` (api_user), `archetype` (developer), `capabilities` ([])"},
    {.name = "kwargs", .type = value_type::object, .default_json = "{}"},
    {.name = "capability", .nullable = true, .meaning = "A capability token.", .max_bytes = 8192},
};
constexpr schema invoke_body{"InvokeRequest", invoke_fields};

constexpr field invoke_answer_fields[] = {
    {.name = "path", .required = true, .meaning = "as it was asked"},
    {.name = "result", .type = value_type::any, .required = true},
    {.name = "tokens_used", .type = value_type::integer, .required = true, .least = 0},
    {.name = "cached", .type = value_type::boolean, .required = true},
};
constexpr schema invoke_answer{"InvokeResponse", invoke_answer_fields};

constexpr field paths_fields[] = {
    {.name = "paths", .type = value_type::array, .required = true, .meaning = "of the stages"},
};
constexpr schema effects_body{"EffectsRequest", paths_fields};

constexpr field effects_answer_fields[] = {
    {.name = "reads", .type = value_type::array, .required = true},
    {.name = "writes", .type = value_type::array, .required = true},
    {.name = "calls", .type = value_type::array, .required = true},
    {.name = "charges", .type = value_type::object, .required = true},
    {.name = "required_capabilities", .type = value_type::array, .required = true},
};
constexpr schema effects_answer{"EffectsResponse", effects_answer_fields};

constexpr field resolve_query[] = {{.name = "path", .required = true, .max_bytes = 1024}};
constexpr field resolve_answer_fields[] = {
    {.name = "path", .required = true},
    {.name = "handle", .required = true},
    {.name = "context", .required = true},
    {.name = "affordances", .type = value_type::array, .required = true},
};
constexpr schema resolve_answer{"ResolveResponse", resolve_answer_fields};

constexpr field affordances_query[] = {
    {.name = "path", .required = true, .max_bytes = 1024},
    {.name = "archetype", .default_json = "\"developer\"", .max_bytes = 128},
};
constexpr field affordances_answer_fields[] = {
    {.name = "path", .required = true},
    {.name = "affordances", .type = value_type::array, .required = true},
    {.name = "observer_archetype", .required = true},
};
constexpr schema affordances_answer{"AffordancesResponse", affordances_answer_fields};

constexpr field paths_query[] = {
    {.name = "limit",
     .type = value_type::integer,
     .default_json = "1000",
     .meaning = "How many at most; 1 to 1000.",
     .least = 1,
     .most = 1000,
     .clamp = true},
    {.name = "offset",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "How many to skip.",
     .least = 0},
};
constexpr field paths_answer_fields[] = {
    {.name = "paths",
     .type = value_type::array,
     .required = true,
     .meaning = "`{path, description, aspects}`; `world.*` stands for every name"},
    {.name = "total", .type = value_type::integer, .required = true},
};
constexpr schema paths_answer{"PathsResponse", paths_answer_fields};

/// The body's observer over /v1's usual one. False: the call was refused.
bool read_asker(const call_ptr& c, actors::invocation& what) {
  what.who.archetype = v1_observer.archetype;
  what.who.id = v1_observer.id;
  violations wrong;
  read_observer(c->body.at("observer"), what.who, wrong, {"body", "observer"});
  if (wrong.empty())
    return true;
  c->refuse_unprocessable(std::move(wrong));
  return false;
}

void answer_composed(const call_ptr& c, const std::string& path, bool pipeline,
                     const actors::composed& x) {
  add_tokens(*c->who, x.tokens);
  if (const auto* declined = std::get_if<agentese::refused>(&x.result)) {
    refuse_with(c, v1_problem(*declined));
    return;
  }
  // A pipeline tells in its result which stage failed; what never began has none.
  const auto* wrong = std::get_if<agentese::error>(&x.result);
  if (wrong != nullptr && (!pipeline || x.stages.empty())) {
    refuse_with(c, v1_problem(*wrong));
    return;
  }
  std::string out = R"({"path":)";
  append_json_string(out, path);
  out += R"(,"result":)";
  out += pipeline ? pipeline_text(x) : *result_of(x);
  out += R"(,"tokens_used":)" + std::to_string(x.tokens);
  out += R"(,"cached":false,"pipeline_trace":)" + trace_text(x) + '}';
  c->reply(200, std::move(out));
}

/// `a >> b`: the kwargs' `input`, if there is one, goes into the first stage; `fail_fast: false`
/// goes on behind a stage that failed.
void compose(const call_ptr& c, actors::invocation what, std::vector<std::string> paths,
             bool pipeline) {
  const auto path = std::move(what.path);
  if (!c->fits(token_estimate(c->at.logos.nodes(), paths, c->who->key.tier)))
    return;
  actors::composition_request ask;
  ask.common = std::move(what);
  ask.paths = std::move(paths);
  ask.left = left_by(c);
  const auto& kwargs = c->body.at("kwargs").as_object();
  if (const auto* input = kwargs.if_contains("input"))
    ask.initial_input = json::serialize(*input);
  ask.enforce_minimal_output = !pipeline;
  ask.keep_values = pipeline;
  const auto* fail_fast = kwargs.if_contains("fail_fast");
  ask.collect = fail_fast != nullptr && fail_fast->is_bool() && !fail_fast->get_bool();
  c->at.logos.compose(c->port(), std::move(ask), [c, path, pipeline](const actors::composed& x) {
    answer_composed(c, path, pipeline, x);
  });
}

std::vector<std::string> split_stages(std::string_view text) {
  std::vector<std::string> out;
  for (;;) {
    auto part = text.substr(0, text.find(">>"));
    const auto used = part.size();
    while (part.starts_with(' '))
      part.remove_prefix(1);
    while (part.ends_with(' '))
      part.remove_suffix(1);
    out.emplace_back(part);
    if (used == text.size())
      return out;
    text.remove_prefix(used + 2);
  }
}

void invoke(const call_ptr& c) {
  auto what = invocation_of(*c, "v1");
  if (!read_asker(c, what))
    return;
  what.path = c->text_of("path");
  if (agentese::looks_like_composition(what.path)) {
    auto paths = split_stages(what.path);
    if (paths.size() > agentese::max_stages)
      c->refuse(400, "Invalid path: a composition has at most " +
                         std::to_string(agentese::max_stages) + " stages");
    else
      compose(c, std::move(what), std::move(paths), false);
    return;
  }
  if (agentese::looks_like_pipeline(what.path)) {
    const auto parsed = agentese::parse_pipeline(what.path, &agentese::alias_table::standard());
    if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed)) {
      refuse_with(c, v1_problem(agentese::errors::path_syntax(what.path, *wrong)));
      return;
    }
    const auto& line = std::get<agentese::pipeline>(parsed);
    std::vector<std::string> paths;
    for (const auto& aspect : line.aspects)
      paths.push_back(line.node + "." + aspect);
    compose(c, std::move(what), std::move(paths), true);
    return;
  }
  if (!c->fits(token_estimate(c->at.logos.nodes(), std::string_view{what.path}, c->who->key.tier)))
    return;
  what.kwargs = json::serialize(c->body.at("kwargs"));
  auto path = what.path;
  c->at.logos.invoke(c->port(), std::move(what), [c, path](const actors::invoked& x) {
    add_tokens(*c->who, uint64_t{x.tokens_in} + x.tokens_out);
    if (const auto* wrong = std::get_if<agentese::error>(&x.result))
      refuse_with(c, v1_problem(*wrong));
    else if (const auto* declined = std::get_if<agentese::refused>(&x.result))
      refuse_with(c, v1_problem(*declined));
    else
      c->reply(200, v1_envelope(path, x));
  });
}

/// What a node path is to `archetype`; everything wrong with it has the status `malformed`, unless
/// that is 400: then what does not exist is a 404.
template <class F>
void look_up(const call_ptr& c, std::string archetype, uint16_t malformed, F answer) {
  auto what = invocation_of(*c, "v1");
  what.path = c->query.at("path").as_string();
  what.who.archetype = std::move(archetype);
  what.who.id = v1_observer.id;
  const auto path = what.path;
  c->at.logos.resolve(
      c->port(), std::move(what),
      [c, path, malformed, answer](const std::variant<actors::resolved, agentese::error>& out) {
        if (const auto* wrong = std::get_if<agentese::error>(&out)) {
          auto told = v1_problem(*wrong);
          if (told.status == 400)
            told.status = malformed;
          refuse_with(c, told);
          return;
        }
        const auto& x = std::get<actors::resolved>(out);
        if (x.entry == nullptr)
          refuse_with(c, v1_problem(agentese::errors::path_not_found(
                             path, "nothing is registered at '" + x.node + "'",
                             c->at.logos.nodes().similar(x.node))));
        else
          answer(path, x);
      });
}

void resolve(const call_ptr& c) {
  look_up(c, std::string{v1_observer.archetype}, 400,
          [c](const std::string& path, const actors::resolved& x) {
            std::string out = R"({"path":)";
            append_json_string(out, path);
            out += R"(,"handle":)";
            append_json_string(out, x.node);
            out += R"(,"context":)";
            append_json_string(out, agentese::to_string(x.entry->context()));
            out += R"(,"affordances":)";
            append_list(out, x.affordances);
            out += '}';
            c->reply(200, std::move(out));
          });
}

void affordances(const call_ptr& c) {
  std::string archetype{c->query.at("archetype").as_string()};
  if (!is_printable(archetype)) {
    c->refuse(400, "Invalid archetype: only printable ASCII may stand in it");
    return;
  }
  look_up(c, archetype, 404, [c, archetype](const std::string& path, const actors::resolved& x) {
    std::string out = R"({"path":)";
    append_json_string(out, path);
    out += R"(,"affordances":)";
    append_list(out, x.affordances);
    out += R"(,"observer_archetype":)";
    append_json_string(out, archetype);
    out += '}';
    c->reply(200, std::move(out));
  });
}

void paths(const call_ptr& c) {
  const auto all = c->at.logos.nodes().list();
  const auto from = std::min(static_cast<size_t>(c->query.at("offset").as_int64()), all.size());
  const auto many =
      std::min(static_cast<size_t>(c->query.at("limit").as_int64()), all.size() - from);
  json::array out;
  for (const auto* x : std::span{all}.subspan(from, many)) {
    json::array aspects;
    for (const auto& aspect : x->aspects())
      if (!aspect.spec->internal)
        aspects.emplace_back(aspect.name());
    out.emplace_back(json::object{{"path", x->path()},
                                  {"description", x->spec().description},
                                  {"aspects", std::move(aspects)}});
  }
  c->reply_json(200, json::object{{"paths", std::move(out)}, {"total", all.size()}});
}

void query(const call_ptr& c) {
  agentese::observer who;
  who.archetype = v1_observer.archetype;
  answer_query(c, std::move(who),
               [c](const agentese::error& wrong) { refuse_with(c, v1_problem(wrong)); });
}

/// A dry run: what a path or composition would do, without doing it.
void effects(const call_ptr& c) {
  violations wrong;
  const auto paths = read_paths(c->body, wrong);
  if (!wrong.empty()) {
    c->refuse_unprocessable(std::move(wrong));
    return;
  }
  const auto parsed = agentese::parse_composition(paths, &agentese::alias_table::standard());
  if (const auto* bad = std::get_if<agentese::composition_error>(&parsed)) {
    refuse_with(c, v1_problem(agentese::errors::path_syntax(bad->text, bad->why)));
    return;
  }
  std::vector<std::string> stages;
  const auto& nodes = c->at.logos.nodes();
  for (const auto& stage : std::get<agentese::composition>(parsed).flattened().stages) {
    const auto* node = nodes.find(stage.at->node()).node;
    const auto* aspect = node == nullptr ? nullptr : node->find(stage.at->aspect());
    if (aspect == nullptr || aspect->spec->internal) {
      refuse_with(c,
                  v1_problem(agentese::errors::path_not_found(
                      stage.text(), "nothing is registered at '" + std::string{stage.text()} + "'",
                      nodes.similar(stage.at->node()))));
      return;
    }
    stages.emplace_back(stage.text());
  }
  c->reply_json(200, agentese::to_json(c->at.logos.effects_of(stages)));
}

constexpr std::string_view read_needed = "API key requires 'read' scope";

const route table[] = {
    {.method = "POST",
     .path = "/v1/agentese/invoke",
     .tag = "agentese",
     .summary = "Invoke an aspect of a path",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope for AGENTESE invoke",
     .metered = true,
     .body = &invoke_body,
     .once = true,
     .answer = &invoke_answer,
     .handle = invoke},
    {.method = "GET",
     .path = "/v1/agentese/resolve",
     .tag = "agentese",
     .summary = "What a path stands for",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = resolve_query,
     .answer = &resolve_answer,
     .handle = resolve},
    {.method = "GET",
     .path = "/v1/agentese/affordances",
     .tag = "agentese",
     .summary = "What an observer may do at a path",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = affordances_query,
     .answer = &affordances_answer,
     .handle = affordances},
    {.method = "GET",
     .path = "/v1/agentese/paths",
     .tag = "agentese",
     .summary = "The registered paths",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = paths_query,
     .answer = &paths_answer,
     .handle = paths},
    {.method = "GET",
     .path = "/v1/agentese/query",
     .tag = "agentese",
     .summary = "Which nodes or aspects match a pattern such as ?world.*",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = query_fields,
     .answer = &query_answer,
     .handle = query},
    {.method = "POST",
     .path = "/v1/agentese/effects",
     .tag = "agentese",
     .summary = "What a path or composition would read, write and cost, without running it",
     .needs = scope::read,
     .refusal_text = read_needed,
     .body = &effects_body,
     .answer = &effects_answer,
     .handle = effects},
};

}  // namespace

std::span<const route> agentese_routes() { return table; }

}  // namespace kgents::gateway
