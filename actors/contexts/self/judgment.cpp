// self.judgment: taste, and what an observer expects (agentese.md section 15).

#include <boost/json/serialize.hpp>

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "actors/contexts/self/self_store.hpp"
#include "actors/logos/taste.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;

namespace {

using enum aspect_category;
using enum argument_type;

/// What is kept of an observer.
struct stance {
  taste::thresholds by;
  json::object expectations;
};

std::string name_of(const aspect_call& c) { return "judgment/" + c.who().id.substr(0, 200); }

task<stance> stance_of(aspect_call& c) {
  const auto stored = co_await self_store::load(c, name_of(c));
  stance out;
  if (const auto* x = stored.if_object()) {
    const auto number = [&](std::string_view name, double otherwise) {
      const auto* member = x->if_contains(name);
      return member != nullptr && member->is_number() ? member->to_number<double>() : otherwise;
    };
    out.by = {number("low", out.by.low), number("high", out.by.high)};
    if (const auto* all = x->if_contains("expectations"); all != nullptr && all->is_object())
      out.expectations = all->get_object();
  }
  co_return std::move(out);
}

task<std::optional<agentese::error>> keep(aspect_call& c, const stance& x, json::object change) {
  json::object value{{"low", x.by.low}, {"high", x.by.high}, {"expectations", x.expectations}};
  return self_store::save(c, name_of(c), std::move(value), std::move(change));
}

/// What is given, else what the observer expects; null: nothing of the kind.
const json::value* prior_of(const aspect_call& c, const stance& x) {
  const auto* given = c.find("prior");
  return given != nullptr ? given : x.expectations.if_contains("prior");
}

task<outcome> judge(aspect_call& c) {
  const auto x = co_await stance_of(c);
  co_return taste::tasted(taste::structural_surprise(*c.find("content"), prior_of(c, x)), x.by);
}

task<outcome> surprise(aspect_call& c) {
  const auto x = co_await stance_of(c);
  const auto* content = c.find("content");
  const auto value =
      content == nullptr ? 0.5 : taste::structural_surprise(*content, prior_of(c, x));
  co_return json::object{{"surprise", value}};
}

task<outcome> expectations(aspect_call& c) {
  if (c.flag("clear")) {
    const auto held = co_await c.lock(name_of(c));
    auto x = co_await stance_of(c);
    const auto cleared = x.expectations.size();
    x.expectations.clear();
    json::object change{{"cleared", cleared}};
    const auto full = co_await keep(c, x, std::move(change));
    if (full)
      co_return *full;
    co_return json::object{{"status", "cleared"}, {"cleared", cleared}};
  }
  if (c.has("set_key")) {
    const auto key = c.text("set_key");
    const auto* value = c.find("set_value");
    if (value == nullptr)
      co_return c.missing("set_value required");
    const auto held = co_await c.lock(name_of(c));
    auto x = co_await stance_of(c);
    x.expectations[key] = *value;
    if (x.expectations.size() > self_limits::expectations ||
        json::serialize(x.expectations).size() > self_limits::expectation_bytes)
      co_return self_limits::reached(c, "expectations of one observer", self_limits::expectations,
                                     "clear them first, or expect less at once");
    json::object change{{"expected", key}};
    const auto full = co_await keep(c, x, std::move(change));
    if (full)
      co_return *full;
    co_return json::object{{"status", "set"}, {"key", key}, {"value", *value}};
  }
  const auto x = co_await stance_of(c);
  if (c.has("get_key")) {
    const auto key = c.text("get_key");
    const auto* value = x.expectations.if_contains(key);
    co_return json::object{{"key", key}, {"value", value != nullptr ? *value : json::value{}}};
  }
  co_return json::object{{"expectations", x.expectations}, {"count", x.expectations.size()}};
}

task<outcome> calibrate(aspect_call& c) {
  const auto held = co_await c.lock(name_of(c));
  auto x = co_await stance_of(c);
  const auto given = [&](std::string_view name) {
    return c.has(name) ? std::optional{c.number(name)} : std::nullopt;
  };
  x.by = taste::calibrated(x.by, given("low"), given("high"));
  if (c.has("low") || c.has("high")) {
    json::object change{{"low", x.by.low}, {"high", x.by.high}};
    const auto full = co_await keep(c, x, std::move(change));
    if (full)
      co_return *full;
  }
  co_return json::object{
      {"status", "calibrated"}, {"low_threshold", x.by.low}, {"high_threshold", x.by.high}};
}

task<outcome> critique(aspect_call& c) {
  const auto x = co_await stance_of(c);
  const auto* artifact = c.has("artifact") ? c.find("artifact") : c.find("input");
  if (artifact == nullptr)
    co_return c.missing("artifact required");
  const auto purpose = c.text("purpose");
  taste::critique_request ask{.artifact = artifact, .purpose = purpose};
  ask.prior_work = c.find("prior_work");
  ask.expected = x.expectations.if_contains("prior");
  co_return taste::to_json(taste::criticise(ask));
}

/// Has a path generate until what comes is good enough; the best of what came is the answer.
task<outcome> refine(aspect_call& c) {
  const auto path = c.text("generator_path");
  if (path.starts_with("self.judgment."))
    co_return agentese::errors::invalid_argument(c.full_path(), "generator_path",
                                                 "judgment cannot generate for itself");
  const auto purpose = c.text("purpose");
  const auto threshold = c.number("threshold");
  const auto most = c.integer("max_iterations");
  json::object asked = c.args();
  for (const auto* own : {"generator_path", "purpose", "threshold", "max_iterations", "input"})
    asked.erase(own);
  if (const auto* input = c.find("input"))
    asked["input"] = *input;
  std::optional<json::value> best;
  taste::critique best_critique;
  json::array history;
  for (int64_t i = 1; i <= most; ++i) {
    auto kwargs = asked;
    if (best) {
      json::array feedback;
      for (const auto& text : best_critique.suggestions)
        feedback.emplace_back(text);
      kwargs["feedback"] = std::move(feedback);
      kwargs["attempt"] = i;
    }
    auto made = co_await c.invoke(path, std::move(kwargs));
    if (!made.ok()) {
      if (!best)
        co_return std::move(made);
      break;  // what was made before stands
    }
    auto& value = std::get<0>(made);
    taste::critique_request ask{.artifact = &value, .purpose = purpose};
    const json::value before(history);
    if (!history.empty())
      ask.prior_work = &before;
    const auto found = taste::criticise(ask);
    const bool better = !best || found.overall > best_critique.overall;
    history.push_back(value);
    if (better) {
      best_critique = found;
      best = std::move(value);
    }
    if (best_critique.overall >= threshold)
      break;
  }
  co_return json::object{{"artifact", std::move(*best)},
                         {"final_critique", taste::to_json(best_critique)},
                         {"iterations", history.size()},
                         {"history_length", history.size()}};
}

/// How what `path` gave looks to the observer who asked for it; the logos tries again by it.
task<outcome> curate(aspect_call& c) {
  const auto x = co_await stance_of(c);
  const auto* prior = x.expectations.if_contains("prior");
  const auto* result = c.find("result");
  const json::value nothing_made;
  const auto novelty =
      taste::structural_surprise(result != nullptr ? *result : nothing_made, prior);
  co_return json::object{{"verdict", taste::to_string(taste::judge(novelty, taste::automatic))},
                         {"novelty", novelty},
                         {"path", c.text("path")},
                         {"attempt", c.integer("attempt")}};
}

constexpr size_t content_bytes = 256 * 1024;
constexpr argument taste_args[] = {
    {.name = "content", .type = any, .required = true, .max_bytes = content_bytes},
    {.name = "prior",
     .type = any,
     .meaning = "none: what is expected",
     .max_bytes = content_bytes}};
constexpr argument surprise_args[] = {{.name = "content", .type = any, .max_bytes = content_bytes},
                                      {.name = "prior",
                                       .type = any,
                                       .meaning = "none: what is expected",
                                       .max_bytes = content_bytes}};
constexpr argument expectation_args[] = {
    {.name = "clear", .type = boolean, .default_json = "false"},
    {.name = "set_key", .meaning = "`prior` is what results are compared with", .max_bytes = 200},
    {.name = "set_value", .type = any, .max_bytes = 32 * 1024},
    {.name = "get_key", .max_bytes = 200}};
constexpr argument calibrate_args[] = {{.name = "low", .type = number},
                                       {.name = "high", .type = number}};
constexpr argument critique_args[] = {
    {.name = "artifact", .type = any, .max_bytes = content_bytes},
    {.name = "purpose", .max_bytes = 4'000},
    {.name = "prior_work", .type = any, .meaning = "one, or a list", .max_bytes = content_bytes},
    {.name = "input",
     .type = any,
     .meaning = "of a composition: the artifact",
     .max_bytes = content_bytes}};
constexpr argument refine_args[] = {
    {.name = "generator_path",
     .required = true,
     .meaning = "a path with its aspect",
     .max_bytes = 512},
    {.name = "purpose", .max_bytes = 4'000},
    {.name = "threshold", .type = number, .default_json = "0.7", .least = 0, .most = 1},
    {.name = "max_iterations", .type = integer, .default_json = "3", .least = 1, .most = 10}};
constexpr argument curate_args[] = {{.name = "path", .required = true, .max_bytes = 512},
                                    {.name = "result", .type = any, .max_bytes = 16 * 1024 * 1024},
                                    {.name = "attempt", .type = integer, .default_json = "0"}};

constexpr std::string_view critique_shape =
    "{novelty: number, utility: number, surprise: number, overall: number, reasoning: string,"
    " suggestions: [string]}";

constexpr aspect_spec aspects[] = {
    {.name = "taste",
     .run = judge,
     .help = "How new a content is, and whether that is too little or too much.",
     .args = taste_args,
     .returns = "{novelty: number, complexity: number, wundt_score: number, verdict: string,"
                " is_acceptable: boolean}",
     .example = R"({"content":"a sail of paper","prior":"a sail"})"},
    {.name = "surprise",
     .run = surprise,
     .help = "How far a content is from what came before.",
     .args = surprise_args,
     .returns = "{surprise: number}",
     .example = R"({"content":"a sail of paper","prior":"a sail"})"},
    {.name = "expectations",
     .category = mutation,
     .run = expectations,
     .help = "Shows, sets or clears what this observer expects.",
     .args = expectation_args,
     .returns = "object",
     .effects = "reads:judgment, writes:judgment"},
    {.name = "calibrate",
     .category = mutation,
     .run = calibrate,
     .help = "Sets where boredom ends and chaos begins for this observer.",
     .args = calibrate_args,
     .returns = "{status: string, low_threshold: number, high_threshold: number}",
     .effects = "writes:judgment"},
    {.name = "critique",
     .run = critique,
     .help = "Scores an artifact by novelty, utility and surprise.",
     .args = critique_args,
     .returns = critique_shape,
     .example = R"({"artifact":"A sail of paper. It tears.","purpose":"sail"})"},
    {.name = "refine",
     .category = generation,
     .run = refine,
     .help = "Has a path generate until the result is good enough.",
     .args = refine_args,
     .returns = "{artifact: any, final_critique: object, iterations: integer,"
                " history_length: integer}",
     .effects = "calls:llm",
     .example = R"({"generator_path":"self.forest.manifest","max_iterations":1})",
     .deadline = std::chrono::seconds{130}},
    {.name = "curate",
     .run = curate,
     .help = "How the result of a generation looks to who asked for it.",
     .args = curate_args,
     .returns = "{verdict: string, novelty: number}",
     .example = R"({"path":"concept.boat.refine","result":"a boat"})",
     .internal = true},
};

}  // namespace

void register_judgment(registry& to) {
  static constexpr node_spec spec{.path = "self.judgment",
                                  .description = "Taste: what is new, useful and surprising.",
                                  .aspects = aspects,
                                  .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::self_nodes
