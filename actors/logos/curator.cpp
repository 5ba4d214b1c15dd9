#include "actors/logos/curator.hpp"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>

#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"

namespace kgents::actors {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

namespace {

constexpr std::array<std::string_view, 9> curated_aspects = {
    "define", "spawn", "fork", "dream", "refine", "dialectic", "compress", "blend", "solve"};
constexpr std::array<std::string_view, 4> left_alone = {"void.", "time.", "self.judgment.",
                                                        "world.agent."};

constexpr int most_attempts = 3;
/// The client waits for all of it.
constexpr auto most_time = std::chrono::seconds{20};
constexpr auto step_deadline = std::chrono::seconds{10};
/// Larger results are not somebody's sentence that could bore.
constexpr size_t most_bytes = 256 * 1024;
/// Of a result, when a tangent or a blend is made of it.
constexpr size_t most_text = 2000;
constexpr double coherence = 0.7;

/// A context of the server's own, and what it is asked.
struct question {
  agentese::context where;
  std::string node;
  std::string aspect;
  json::object kwargs;
};

task<std::optional<json::object>> ask(flow& f, const invocation& what, question x, invoked& cost) {
  agentese::invoke_aspect message;
  message.node = std::move(x.node);
  message.aspect = std::move(x.aspect);
  message.kwargs = json::serialize(x.kwargs);
  message.who = what.who;
  message.by = what.by;
  message.origin = "internal";
  message.trace_id = what.trace_id;
  message.span_id = new_span_id();
  message.deadline_ms = std::chrono::milliseconds{step_deadline}.count();
  message.depth = what.depth;
  message.internal = true;
  const auto kind = static_cast<entity_kind>(static_cast<uint8_t>(entity_kind::world) +
                                             static_cast<uint8_t>(x.where));
  const auto to = context_entity(kind, what.tenant);
  const auto got = co_await f.ask<agentese::aspect_answer>(to, std::move(message));
  if (!got.ok() || got.value.kind != agentese::answer_kind::value)
    co_return std::nullopt;
  cost.tokens_in += got.value.tokens_in;
  cost.tokens_out += got.value.tokens_out;
  auto value = parse_own(got.value.body);
  if (!value.is_object())
    co_return std::nullopt;
  co_return std::optional{std::move(value.get_object())};
}

std::string text_in(const json::object& x, std::string_view member) {
  const auto* y = x.if_contains(member);
  return y != nullptr && y->is_string() ? std::string{y->get_string()} : std::string{};
}

/// What it looks like to the observer; empty when that cannot be had.
task<std::string> verdict(flow& f, const invocation& what, json::value x, int attempt,
                          invoked& out) {
  question judge{agentese::context::self, "self.judgment", "curate", {}};
  judge.kwargs["path"] = out.node + "." + out.aspect;
  judge.kwargs["result"] = std::move(x);
  judge.kwargs["attempt"] = attempt;
  const auto said = co_await ask(f, what, std::move(judge), out);
  co_return said ? text_in(*said, "verdict") : std::string{};
}

/// The beginning of a value as text, cut between characters.
std::string beginning_of(const json::value& x) {
  auto out = x.is_string() ? std::string{x.get_string()} : json::serialize(x);
  if (out.size() > most_text) {
    auto end = most_text;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80)
      --end;
    out.resize(end);
  }
  return out;
}

task<std::optional<json::value>> less_boring(flow& f, const invocation& what, json::value x,
                                             invoked& cost) {
  const auto text = beginning_of(x);
  question sip{agentese::context::void_, "void.serendipity", "sip", {}};
  sip.kwargs["context"] = text;
  const auto got = co_await ask(f, what, std::move(sip), cost);
  const auto tangent = got ? text_in(*got, "tangent") : std::string{};
  if (tangent.empty())  // there is no entropy left, say
    co_return std::nullopt;
  question forge{agentese::context::concept_, "concept.blend", "forge", {}};
  forge.kwargs["concept_a"] = text;
  forge.kwargs["concept_b"] = tangent;
  const auto blend = co_await ask(f, what, std::move(forge), cost);
  if (!blend)
    co_return std::nullopt;
  co_return std::optional{with_blend(std::move(x), tangent, *blend)};
}

task<std::optional<json::value>> less_chaotic(flow& f, const invocation& what, json::value x,
                                              invoked& cost) {
  question refine{agentese::context::concept_, "concept.summary", "refine", {}};
  refine.kwargs["input"] = x;
  refine.kwargs["target_coherence"] = coherence;
  const auto got = co_await ask(f, what, std::move(refine), cost);
  const auto summary = got ? text_in(*got, "refined") : std::string{};
  if (summary.empty())
    co_return std::nullopt;
  co_return std::optional{with_summary(std::move(x), summary)};
}

}  // namespace

bool is_curated(std::string_view node, std::string_view aspect) noexcept {
  const auto begins_like = [&](std::string_view x) {
    return node.starts_with(x) || node == x.substr(0, x.size() - 1);
  };
  return std::find(curated_aspects.begin(), curated_aspects.end(), aspect) !=
             curated_aspects.end() &&
         std::none_of(left_alone.begin(), left_alone.end(), begins_like);
}

json::value with_blend(json::value x, std::string_view tangent, const json::value& blend) {
  if (auto* object = x.if_object())
    object->insert_or_assign("blend", blend);
  else if (auto* text = x.if_string())
    text->append("\n\n").append(tangent);
  return x;
}

json::value with_summary(json::value x, std::string_view summary) {
  if (auto* object = x.if_object())
    object->insert_or_assign("summary", summary);
  else if (auto* text = x.if_string())
    *text = summary;
  return x;
}

task<bool> curate(flow& f, const registry& nodes, const invocation& what, invoked& out) {
  const auto* judge = nodes.find("self.judgment").node;
  if (judge == nullptr || judge->find("curate") == nullptr || out.body.size() > most_bytes)
    co_return false;
  const auto until = clock::now() + most_time;
  auto value = parse_own(out.body);
  auto found = co_await verdict(f, what, value, 0, out);
  for (int attempt = 1; attempt <= most_attempts; ++attempt) {
    if ((found != "boring" && found != "chaotic") || clock::now() >= until)
      co_return false;
    const auto before = value;
    std::optional<json::value> next;
    if (found == "boring")
      next = co_await less_boring(f, what, std::move(value), out);
    else
      next = co_await less_chaotic(f, what, std::move(value), out);
    if (!next || *next == before)
      co_return false;
    value = std::move(*next);
    found = co_await verdict(f, what, value, attempt, out);
    if (found == "interesting") {
      out.body = json::serialize(value);
      co_return true;
    }
  }
  co_return false;
}

}  // namespace kgents::actors
