// The gateway of AGENTESE: paths as places under /agentese (http-api.md section 12).

#include <array>
#include <boost/json/serialize.hpp>

#include "gateway/agentese/answer_query.hpp"
#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/aspect_socket.hpp"
#include "gateway/agentese/aspect_stream.hpp"
#include "gateway/agentese/discovery.hpp"
#include "gateway/agentese/envelope.hpp"
#include "gateway/agentese/problems.hpp"
#include "gateway/route.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field discover_query[] = {
    {.name = "include_schemas", .type = value_type::boolean, .default_json = "false"},
    {.name = "include_metadata", .type = value_type::boolean, .default_json = "false"},
};
constexpr field discover_fields[] = {
    {.name = "paths", .type = value_type::array, .required = true},
    {.name = "forms",
     .type = value_type::array,
     .required = true,
     .meaning = "nodes that stand for every name"},
    {.name = "stats", .type = value_type::object, .required = true},
    {.name = "metadata", .type = value_type::object},
    {.name = "schemas", .type = value_type::object},
    {.name = "contract_coverage", .type = value_type::object},
};
constexpr schema discover_shape{"DiscoverResponse", discover_fields};

constexpr field context_fields[] = {
    {.name = "context", .required = true},
    {.name = "paths", .type = value_type::array, .required = true},
    {.name = "forms", .type = value_type::array, .required = true},
};
constexpr schema context_shape{"DiscoverContextResponse", context_fields};

constexpr field result_fields[] = {
    {.name = "path", .required = true},
    {.name = "aspect", .required = true},
    {.name = "result", .type = value_type::any, .required = true},
};
constexpr schema result_shape{"GatewayResponse", result_fields};

constexpr field affordances_fields[] = {
    {.name = "path", .required = true},
    {.name = "affordances", .type = value_type::array, .required = true},
};
constexpr schema affordances_shape{"GatewayAffordancesResponse", affordances_fields};

/// The invocation of this call with its observer, at the node of its path; none: the call was
/// refused.
std::optional<actors::invocation> asked(const call_ptr& c) {
  auto who = observer_of_headers(c->x->in(), gateway_observer);
  if (const auto* wrong = std::get_if<agentese::error>(&who)) {
    refuse_with(c, gateway_problem(*wrong, ""));
    return std::nullopt;
  }
  auto out = invocation_of(*c, "gateway");
  out.who = std::get<agentese::observer>(std::move(who));
  out.path = c->segments[0];
  return out;
}

void discover_all(const call_ptr& c) {
  // The registry is constant, so there are four answers; they are large, so they are kept.
  static const auto kept = [&] {
    std::array<std::string, 4> out;
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = json::serialize(
          discover(c->at.logos.nodes(), discovery_request{(i & 1) != 0, (i & 2) != 0}));
    return out;
  }();
  const size_t schemas = c->query.at("include_schemas").as_bool() ? 1 : 0;
  const size_t metadata = c->query.at("include_metadata").as_bool() ? 2 : 0;
  c->reply(200, kept[schemas + metadata]);
}

void discover_context(const call_ptr& c) {
  const auto context = agentese::parse_context(c->segments[0]);
  if (context) {
    c->reply_json(200, discover(c->at.logos.nodes(), *context));
    return;
  }
  std::string all;
  for (const auto name : agentese::context_names)
    all += (all.empty() ? "" : ", ") + std::string{name};
  refuse_with(c, gateway_problem(agentese::errors::invalid_argument(
                                     "", "context",
                                     "Invalid context: " + agentese::printable(c->segments[0]) +
                                         ". Valid: " + all),
                                 ""));
}

void openapi(const call_ptr& c) {
  static const auto text = json::serialize(aspects_document(c->at.logos.nodes()));
  c->reply(200, text);
}

void query(const call_ptr& c) {
  auto who = observer_of_headers(c->x->in(), gateway_observer);
  const auto refuse = [c](const agentese::error& wrong) {
    refuse_with(c, gateway_problem(wrong, ""));
  };
  if (const auto* wrong = std::get_if<agentese::error>(&who))
    refuse(*wrong);
  else
    answer_query(c, std::get<agentese::observer>(std::move(who)), refuse);
}

void run(const call_ptr& c, actors::invocation what, std::string_view aspect) {
  auto path = std::move(what.path);
  what.path = path + ".";
  what.path += aspect;
  c->at.logos.invoke(c->port(), std::move(what),
                     [c, path, aspect = std::string{aspect}](const actors::invoked& x) {
                       add_tokens(*c->who, uint64_t{x.tokens_in} + x.tokens_out);
                       if (const auto* wrong = std::get_if<agentese::error>(&x.result))
                         refuse_with(c, gateway_problem(*wrong, x.trace_id));
                       else if (const auto* no = std::get_if<agentese::refused>(&x.result))
                         refuse_with(c, gateway_problem(*no, x.trace_id));
                       else
                         c->reply(200, gateway_envelope(path, aspect, x));
                     });
}

void manifest(const call_ptr& c) {
  if (auto what = asked(c))
    run(c, std::move(*what), "manifest");
}

void affordances(const call_ptr& c) {
  auto what = asked(c);
  if (!what)
    return;
  c->at.logos.resolve(
      c->port(), std::move(*what), [c](const std::variant<actors::resolved, agentese::error>& out) {
        const auto* wrong = std::get_if<agentese::error>(&out);
        if (wrong != nullptr) {
          refuse_with(c, gateway_problem(*wrong, ""));
          return;
        }
        const auto& x = std::get<actors::resolved>(out);
        if (!x.exists) {
          refuse_with(c, gateway_problem(agentese::errors::node_not_registered(
                                             x.node, c->at.logos.nodes().similar(x.node)),
                                         ""));
          return;
        }
        std::string text = R"({"path":)";
        append_json_string(text, c->segments[0]);
        text += R"(,"affordances":)";
        append_list(text, x.affordances);
        text += '}';
        c->reply(200, std::move(text));
      });
}

void invoke(const call_ptr& c) {
  auto what = asked(c);
  if (!what)
    return;
  what->kwargs = kwargs_of_body(c->x->in().body);
  const auto path = what->path + "." + c->segments[1];
  const std::string_view asked_for = path;
  if (c->fits(token_estimate(c->at.logos.nodes(), asked_for, c->who->key.tier)))
    run(c, std::move(*what), c->segments[1]);
}

void stream(const call_ptr& c) {
  auto what = asked(c);
  if (!what)
    return;
  what->kwargs = kwargs_of_query(c->x->in().query);
  what->path += "." + c->segments[1];
  stream_aspect(c, std::move(*what), stream_dialect::gateway);
}

/// GET: the query is the kwargs; what streams answers as a stream.
void read(const call_ptr& c) {
  const auto at = find_registered(c->at.logos.nodes(), c->segments[0], c->segments[1]);
  if (at.aspect != nullptr && at.aspect->spec->streaming) {
    stream(c);
    return;
  }
  auto what = asked(c);
  if (!what)
    return;
  what->kwargs = kwargs_of_query(c->x->in().query);
  const auto path = what->path + "." + c->segments[1];
  const std::string_view asked_for = path;
  if (c->fits(token_estimate(c->at.logos.nodes(), asked_for, c->who->key.tier)))
    run(c, std::move(*what), c->segments[1]);
}

void websocket(const call_ptr& c) {
  if (auto what = asked(c)) {
    what->billed = true;  // each of its requests is an operation
    open_aspect_socket(c, std::move(*what));
  }
}

constexpr std::string_view tag = "agentese-gateway";
constexpr std::string_view read_needed = "API key requires 'read' scope";

const route table[] = {
    {.method = "GET",
     .path = "/agentese/discover",
     .tag = tag,
     .summary = "All registered paths",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = discover_query,
     .answer = &discover_shape,
     .handle = discover_all},
    {.method = "GET",
     .path = "/agentese/openapi.json",
     .tag = tag,
     .summary = "All aspects as an OpenAPI document with x-agentese extensions",
     .needs = scope::read,
     .refusal_text = read_needed,
     .handle = openapi},
    {.method = "GET",
     .path = "/agentese/discover/{context}",
     .tag = tag,
     .summary = "The registered paths of one context",
     .needs = scope::read,
     .refusal_text = read_needed,
     .answer = &context_shape,
     .handle = discover_context},
    {.method = "GET",
     .path = "/agentese/query",
     .tag = tag,
     .summary = "Which nodes or aspects match a pattern such as ?world.*",
     .needs = scope::read,
     .refusal_text = read_needed,
     .query = query_fields,
     .answer = &query_answer,
     .handle = query},
    {.method = "GET",
     .path = "/agentese/ws/{path*}",
     .tag = tag,
     .summary = "A node over a WebSocket: {aspect, kwargs} in, result or chunks out",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = read_needed,
     .success = 101,
     .handle = websocket},
    {.method = "GET",
     .path = "/agentese/{path*}/manifest",
     .tag = tag,
     .summary = "How a node shows itself to the observer",
     .needs = scope::read,
     .refusal_text = read_needed,
     .answer = &result_shape,
     .handle = manifest},
    {.method = "GET",
     .path = "/agentese/{path*}/affordances",
     .tag = tag,
     .summary = "What the observer may do at a node",
     .needs = scope::read,
     .refusal_text = read_needed,
     .answer = &affordances_shape,
     .handle = affordances},
    {.method = "POST",
     .path = "/agentese/{path*}/{aspect}",
     .tag = tag,
     .summary = "Invoke an aspect; the body is its kwargs",
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .free_body = true,
     .once = true,
     .answer = &result_shape,
     .handle = invoke},
    {.method = "GET",
     .path = "/agentese/{path*}/{aspect}/stream",
     .tag = tag,
     .summary = "Invoke an aspect and hear its answer as it is made; the query is its kwargs",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .answer_type = "text/event-stream",
     .handle = stream},
    {.method = "GET",
     .path = "/agentese/{path*}/{aspect}",
     .tag = tag,
     .summary = "Invoke an aspect with the query as its kwargs; a stream where the aspect streams",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = read_needed,
     .metered = true,
     .answer = &result_shape,
     .handle = read},
};

}  // namespace

std::span<const route> agentese_gateway_routes() { return table; }

}  // namespace kgents::gateway
