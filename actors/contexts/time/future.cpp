// time.future: what may come (agentese.md section 8.5), from the states that nodes had and from how
// often they were invoked.


#include "actors/contexts/call.hpp"
#include "actors/contexts/time/instant.hpp"
#include "actors/contexts/time/nodes.hpp"
#include "actors/contexts/time/prediction.hpp"
#include "actors/contexts/time/simulation.hpp"
#include "actors/contexts/time/state_changes.hpp"
#include "actors/contexts/time/trend.hpp"
#include "actors/own_json.hpp"
#include "protocol/agentese/path.hpp"
#include "sql/agentese_graph.hpp"
#include "sql/agentese_nodes.hpp"

namespace kgents::actors {

namespace json = boost::json;
namespace errors = agentese::errors;

namespace {

/// Newest states and invocations that a trend is made of.
constexpr size_t states_considered = 200;
constexpr size_t times_considered = 2000;
/// Paths that a question may be about.
constexpr size_t subjects = 1000;
constexpr double day = 86'400;

/// What is known of a target: the number that says most.
struct evidence {
  std::string measure;  ///< a member of its state, or "invocations per hour"
  trend found;
};

task<std::vector<past_state>> states_of(aspect_call& c, std::string target) {
  const auto stored =
      co_await c.read(sql::agentese_nodes::snapshots(c.tenant(), target, states_considered));
  std::vector<past_state> out;
  for (const auto& x : stored)
    if (const auto at = parse_instant(x.at, {}))
      out.push_back({std::chrono::duration<double>(at->time_since_epoch()).count(),
                     parse_own(x.state)});
  co_return out;
}

/// A member of its state that was seen often enough, the surest of them; else how often the target
/// was invoked.
task<std::optional<evidence>> evidence_of(aspect_call& c, std::string target) {
  const auto states = co_await states_of(c, target);
  std::optional<evidence> best;
  for (const auto& [name, seen] : series_of(states)) {
    auto x = trend_of(seen);
    if (x.direction == trend_direction::uncertain)
      continue;
    const auto moves = [](const trend& y) { return y.direction != trend_direction::stable; };
    if (!best || std::pair{moves(x), x.confidence} >
                     std::pair{moves(best->found), best->found.confidence})
      best = evidence{name, x};
  }
  if (best)
    co_return best;
  const auto node_times =
      co_await c.read(sql::agentese_graph::times(c.tenant(), target, "", times_considered));
  auto times = node_times;
  if (times.empty()) {  // a full path, then
    const auto [node, aspect] = agentese::split_last(target);
    const auto of_aspect =
        co_await c.read(sql::agentese_graph::times(c.tenant(), node, aspect, times_considered));
    times = of_aspect;
  }
  const auto found = trend_of(activity_of(times, now_instant().time_since_epoch().count()));
  if (found.direction != trend_direction::uncertain)
    best = evidence{"invocations per hour", found};
  co_return best;
}

std::optional<agentese::error> wrong_target(const std::string& target) {
  const auto parsed = agentese::parse_path(target, agentese::needs::node);
  if (const auto* wrong = std::get_if<agentese::syntax_error>(&parsed))
    return errors::path_syntax(target, *wrong);
  return std::nullopt;
}

json::object forecast_of(const std::optional<evidence>& known, double horizon) {
  const auto found = known ? known->found : trend{};
  json::array scenarios;
  for (const auto& x : scenarios_of(found, horizon)) {
    json::object one{{"name", x.name}, {"probability", x.probability}};
    if (known)
      one["value"] = x.value;
    scenarios.emplace_back(std::move(one));
  }
  json::object out{{"trend", to_string(found.direction)},
                   {"confidence", found.confidence},
                   {"scenarios", std::move(scenarios)}};
  if (known) {
    out["measure"] = known->measure;
    out["current"] = found.level;
    out["expected"] = found.level + found.slope * horizon;
    out["change_per_day"] = found.slope * day;
    out["observations"] = found.count;
  }
  return out;
}

task<outcome> forecast(aspect_call& c) {
  const auto target = c.text("target");
  if (auto wrong = wrong_target(target))
    co_return std::move(*wrong);
  const auto horizon = parse_duration(c.text("horizon"));
  if (!horizon)
    co_return errors::invalid_argument(
        c.full_path(), "horizon",
        "horizon must be a length of time up to ten years, as 30m, 1d, 2w");
  const auto known = co_await evidence_of(c, target);
  const auto note =
      known ? "the line of least squares through " + std::to_string(known->found.count) +
                  " observations of " + known->measure
            : "nothing about " + target + " has been observed often enough";
  co_return json::object{{"target", target},
                         {"horizon", c.text("horizon")},
                         {"forecast", forecast_of(known, static_cast<double>(horizon->count()))},
                         {"note", note}};
}

/// The newest state of a target as what a simulation begins with, each number moving as it has.
variables observed(const std::vector<past_state>& states, double step) {
  variables out;
  if (states.empty() || !states.back().state.is_object())
    return out;
  const auto series = series_of(states);
  for (const auto& [name, value] : states.back().state.get_object()) {
    if (!value.is_number() || out.size() == most_variables)
      continue;
    auto& x = out[std::string{name}];
    x.value = value.to_number<double>();
    if (const auto at = series.find(std::string{name}); at != series.end())
      x.delta = trend_of(at->second).slope * step;
  }
  return out;
}

task<outcome> simulate(aspect_call& c) {
  const auto& parameters = c.args().at("parameters").get_object();
  const auto step = parse_duration(c.text("step"));
  if (!step)
    co_return errors::invalid_argument(c.full_path(), "step",
                                       "step must be a length of time, as 30m, 1d, 2w");
  variables state;
  if (c.has("target")) {
    const auto target = c.text("target");
    if (auto wrong = wrong_target(target))
      co_return std::move(*wrong);
    const auto states = co_await states_of(c, target);
    state = observed(states, static_cast<double>(step->count()));
  }
  auto given = read_variables(parameters);
  if (const auto* wrong = std::get_if<std::string>(&given))
    co_return errors::invalid_argument(c.full_path(), "parameters", "parameters: " + *wrong);
  for (auto& [name, x] : std::get<variables>(given))
    state[name] = x;
  if (state.size() > most_variables)
    co_return errors::invalid_argument(
        c.full_path(), "parameters",
        "at most " + std::to_string(most_variables) + " numbers can be followed");
  const auto* seed = parameters.if_contains("seed");
  const auto chance = seed != nullptr && seed->is_number()
                          ? static_cast<uint64_t>(std::hash<double>{}(seed->to_number<double>()))
                          : c.seed();
  co_return json::object{{"simulation", simulated(std::move(state), c.integer("steps"), chance)}};
}

/// What the observations say, in a sentence.
prediction told(const std::string& subject, const evidence& x) {
  prediction out;
  const auto number = [](double y) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", y);
    return std::string{text};
  };
  const auto tomorrow = x.found.level + x.found.slope * day;
  using enum trend_direction;
  const auto verb = x.found.direction == rising    ? "will rise"
                    : x.found.direction == falling ? "will fall"
                                                   : "will stay about the same";
  out.text = x.measure + " of " + subject + " " + verb + ": " + number(x.found.level) +
             " now, about " + number(tomorrow) + " in a day";
  out.confidence = x.found.confidence;
  out.reasoning = "the line through " + std::to_string(x.found.count) + " observations moves by " +
                  number(x.found.slope * day) + " a day";
  return out;
}

llm::prompt asked_of_model(const aspect_call& c, const prediction& known) {
  llm::prompt out;
  out.system = prediction_task();
  out.messages.push_back(
      {"user", c.text("question") + "\n\n[Observed: " + known.text + "; " + known.reasoning + "]"});
  out.temperature = 0.3;
  out.max_tokens = 500;
  return out;
}

task<outcome> predict(aspect_call& c) {
  const auto question = c.text("question");
  const auto seen =
      co_await c.read(sql::agentese_graph::paths(c.tenant(), now_instant(), subjects));
  std::vector<std::string> paths;
  for (const auto& x : seen)
    paths.push_back(x.path);
  prediction best{"uncertain", 0.5, "nothing was observed that the question could be about"};
  if (const auto subject = subject_of(question, paths)) {
    const auto known = co_await evidence_of(c, *subject);
    if (known)
      best = told(*subject, *known);
    else
      best.reasoning = *subject + " has not been observed often enough";
  }
  if (c.has_model()) {
    const auto got = co_await c.model(asked_of_model(c, best));
    if (const auto* answer = std::get_if<llm::collected>(&got))
      if (auto said = parse_prediction(answer->text))
        best = std::move(*said);
  }
  if (best.confidence < c.number("confidence_threshold")) {
    best.reasoning += "; at this confidence nothing is predicted: " + best.text;
    best.text = "uncertain";
  }
  co_return json::object{{"question", question},
                         {"prediction", best.text},
                         {"confidence", best.confidence},
                         {"reasoning", best.reasoning}};
}

constexpr argument forecast_args[] = {
    {.name = "target", .required = true, .meaning = "a node or a path", .max_bytes = 512},
    {.name = "horizon",
     .default_json = "\"1d\"",
     .meaning = "how far: a number and s, m, h, d or w",
     .max_bytes = 32}};
constexpr argument simulate_args[] = {
    {.name = "steps",
     .type = argument_type::integer,
     .default_json = "10",
     .meaning = "states in the answer",
     .least = 1,
     .most = 1000},
    {.name = "parameters",
     .type = argument_type::object,
     .default_json = "{}",
     .meaning = "`state` (numbers by name), `growth`, `delta`, `noise`, `min`, `max`, `seed`"},
    {.name = "target",
     .meaning = "a node whose state and its trend to begin with",
     .max_bytes = 512},
    {.name = "step",
     .default_json = "\"1d\"",
     .meaning = "how long a step is, for the trend of a target",
     .max_bytes = 32}};
constexpr argument predict_args[] = {
    {.name = "question", .required = true, .meaning = "what to predict"},
    {.name = "confidence_threshold",
     .type = argument_type::number,
     .default_json = "0.5",
     .meaning = "below it the prediction is `uncertain`",
     .least = 0,
     .most = 1}};

constexpr aspect_spec aspects[] = {
    {.name = "forecast",
     .run = forecast,
     .help = "Where a node's numbers, or its use, are going.",
     .args = forecast_args,
     .returns = "{target: string, horizon: string, forecast: {trend: string, confidence: number,"
                " scenarios: [{name: string, probability: number}]}, note: string}"
                " | {error: string}",
     .effects = "reads:snapshots, reads:trace",
     .example = R"({"target": "world.house", "horizon": "1d"})"},
    {.name = "simulate",
     .category = aspect_category::generation,
     .run = simulate,
     .help = "Numbers that change from step to step by given rules.",
     .args = simulate_args,
     .returns = "{simulation: [{step: integer, state: object}]}",
     .effects = "reads:snapshots",
     .example = R"({"steps": 3, "parameters": {"state": {"size": 100}, "growth": 0.1}})"},
    {.name = "predict",
     .run = predict,
     .help = "Answers a question about what will be.",
     .args = predict_args,
     .returns = "{question: string, prediction: string, confidence: number, reasoning: string}"
                " | {error: string}",
     .effects = "reads:trace, calls:llm, charges:tokens 500",
     .example = R"({"question": "Will void.entropy be used more?"})",
     .deadline = std::chrono::seconds{130}},
};

}  // namespace

void register_future(registry& to) {
  static constexpr node_spec node{
      .path = "time.future",
      .description = "What may come: forecasts, simulations, predictions.",
      .aspects = aspects,
      .common = "*"};
  to.add(node);
}

}  // namespace kgents::actors
