// Compositions and their laws (agentese.md section 10).

#include <boost/json/serialize.hpp>

#include "actors/logos/steps.hpp"
#include "actors/own_json.hpp"
#include "protocol/agentese/laws.hpp"

namespace kgents::actors {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

namespace {

uint32_t ms_since(clock::time_point began) {
  return static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - began).count());
}

/// The type of a JSON text, by its first character: results are not parsed on their way from stage
/// to stage.
std::string_view type_of(std::string_view body) {
  switch (body.empty() ? 'n' : body.front()) {
    case '{':
      return "object";
    case '[':
      return "array";
    case '"':
      return "string";
    case 't':
    case 'f':
      return "boolean";
    case 'n':
      return "null";
    default:
      return "number";
  }
}

std::string with_input(const std::optional<std::string>& input) {
  return input ? R"({"input":)" + *input + "}" : "{}";
}

/// The stages, aliases expanded, each parsed and allowed; or the first thing that is wrong.
task<std::optional<agentese::error>> check_stages(flow& f, logos_parts with, invocation common,
                                                  std::vector<std::string> paths,
                                                  agentese::composition& out) {
  if (paths.empty())
    co_return agentese::errors::composition_violation("composition", "paths",
                                                      "A composition needs at least one path");
  for (auto& path : paths) {
    auto written = co_await canonical(f, common, std::move(path));
    if (auto* wrong = std::get_if<1>(&written))
      co_return std::move(*wrong);
    path = std::move(std::get<0>(written));
  }
  auto parsed = agentese::parse_composition(paths);
  if (const auto* wrong = std::get_if<agentese::composition_error>(&parsed)) {
    auto error = agentese::errors::path_syntax(wrong->text, wrong->why);
    error.details["stage"] = wrong->stage;
    co_return error;
  }
  out = std::get<agentese::composition>(std::move(parsed));
  for (size_t i = 0; i < out.stages.size(); ++i) {
    if (out.stages[i].is_identity())
      continue;
    const auto at = out.stages[i].at->view();
    if (auto wrong = check_path(with.nodes, common, at).wrong) {
      auto error = std::move(*wrong);
      error.details["stage"] = i;
      co_return error;
    }
  }
  co_return std::nullopt;
}

/// One after the other, each with the value before it as `input`.
task<composed> run_stages(flow& f, logos_parts with, composition_request what,
                          agentese::composition stages, std::string span_id) {
  composed out;
  out.span_id = span_id;
  out.trace_id = what.common.trace_id;
  auto value = what.initial_input;
  size_t number = 0;
  for (const auto& stage : stages.stages) {
    if (stage.is_identity())
      continue;
    if (what.left()) {
      const std::string path{stage.text()};
      out.result = agentese::errors::unavailable(path, "The client left before this stage");
      out.failed_stage = number;
      co_return out;
    }
    auto one = what.common;
    one.path = stage.at->text();
    one.kwargs = with_input(value);
    one.parent_span = span_id;
    auto got = co_await invoke_one(f, with, std::move(one), span_id + "-" + std::to_string(number));
    composed_stage trace;
    trace.path = stage.at->text();
    trace.span_id = got.span_id;
    trace.duration_ms = got.duration_ms;
    out.tokens += got.tokens_in + got.tokens_out;
    if (got.ok() && what.enforce_minimal_output && type_of(got.body) == "array") {
      got.result = agentese::errors::minimal_output(trace.path);
      got.body.clear();
    }
    trace.success = got.ok();
    trace.output_type = got.ok() ? type_of(got.body) : "error";
    if (const auto* wrong = std::get_if<agentese::error>(&got.result))
      trace.wrong = *wrong;
    if (what.collect || what.keep_values)
      trace.body = got.body;
    out.stages.push_back(trace);
    if (const auto* declined = std::get_if<agentese::refused>(&got.result)) {
      out.result = *declined;
      out.failed_stage = number;
      co_return out;
    }
    if (trace.wrong && !what.collect) {
      auto error = agentese::errors::stage_failed(number, trace.path, *trace.wrong);
      out.result = std::move(error);
      out.failed_stage = number;
      co_return out;
    }
    if (trace.wrong && !out.failed_stage)
      out.failed_stage = number;
    value = got.ok() ? std::optional{std::move(got.body)} : std::optional<std::string>{"null"};
    ++number;
  }
  out.result = value.value_or("null");
  co_return out;
}

json::object collected(const composed& x) {
  json::array stages;
  for (const auto& stage : x.stages) {
    json::object one{{"path", stage.path}, {"success", stage.success}};
    if (stage.wrong)
      one["error"] = agentese::to_json(*stage.wrong);
    else
      one["value"] = parse_own(stage.body);
    stages.emplace_back(std::move(one));
  }
  json::object out;
  out["stages"] = std::move(stages);
  return out;
}

agentese::composition identity() {
  agentese::composition out;
  out.stages.emplace_back();
  return out;
}

/// By structure: flattening is what makes both laws hold, so this is what is looked at.
std::vector<std::string> laws_of(const agentese::composition& x) {
  const auto id = identity();
  std::vector<std::string> out;
  const auto plain = x.flattened();
  if ((id >> x).flattened() == plain && (x >> id).flattened() == plain)
    out.emplace_back("identity");
  const auto n = x.stages.size();
  const auto from = x.stages.begin();
  const agentese::composition a{{from, from + static_cast<ptrdiff_t>(n > 0)}};
  const agentese::composition c{{from + static_cast<ptrdiff_t>(n - (n > 1)), x.stages.end()}};
  const agentese::composition b{
      {from + static_cast<ptrdiff_t>(n > 0), from + static_cast<ptrdiff_t>(n - (n > 1))}};
  if ((a >> b) >> c == a >> (b >> c))
    out.emplace_back("associativity");
  return out;
}

task<composed> compose_all(flow& f, logos_parts with, composition_request what) {
  const auto began = clock::now();
  const auto span_id = new_span_id();
  composed out;
  auto wrong = co_await prepare(f, with, what.common);
  agentese::composition stages;
  if (!wrong) {
    auto paths = what.paths;
    wrong = co_await check_stages(f, with, what.common, std::move(paths), stages);
  }
  if (wrong) {
    out.result = std::move(*wrong);
    out.span_id = span_id;
    out.trace_id = what.common.trace_id;
  } else {
    const bool laws = what.emit_law_check;
    const bool collect = what.collect;
    out = co_await run_stages(f, with, std::move(what), stages, span_id);
    if (laws)
      out.laws_verified = laws_of(stages);
    if (collect && out.result.index() == 0)
      out.result = json::serialize(collected(out));
  }
  out.duration_ms = ms_since(began);
  co_return out;
}

task<bool> compose_flow(flow& f, logos_parts with, composition_request what,
                        std::function<void(composed)> done) {
  const in_flight_guard counted{with.seen};
  composed out;
  try {
    out = co_await compose_all(f, with, std::move(what));
  } catch (const std::exception& why) {
    out.result = unexpected(why);
  }
  done(std::move(out));
  co_return true;
}

bool changes_nothing(const registry& nodes, const agentese::composition& x) {
  for (const auto& stage : x.stages) {
    if (stage.is_identity())
      continue;
    const auto at = stage.at->view();
    const auto* node = nodes.find(at.node).node;
    const auto* aspect = node == nullptr ? nullptr : node->find(at.aspect);
    if (aspect == nullptr || may_write(aspect->spec->category))
      return false;
  }
  return true;
}

using groups = std::vector<agentese::composition>;

groups grouped(const agentese::composition& x) { return {x}; }
groups grouped(const agentese::composition& x, const agentese::composition& y) { return {x, y}; }

/// A grouping as it is written, run: the value of its left part is the input of its right one.
task<composed> run_grouped(flow& f, logos_parts with, composition_request what, groups in_order) {
  composed out;
  out.result = what.initial_input.value_or("null");
  for (auto& group : in_order) {
    if (group.flattened().stages.empty())
      continue;  // Id: its input, or still none
    auto request = what;
    out = co_await run_stages(f, with, std::move(request), std::move(group), new_span_id());
    if (out.result.index() != 0)
      co_return out;
    what.initial_input = std::get<std::string>(out.result);
  }
  co_return out;
}

bool same(const composed& a, const composed& b) {
  const auto* left = std::get_if<std::string>(&a.result);
  const auto* right = std::get_if<std::string>(&b.result);
  if (left == nullptr || right == nullptr)
    return a.failed_stage == b.failed_stage && a.result.index() == b.result.index();
  return agentese::same_value(parse_own(*left), parse_own(*right));
}

using law_result = std::variant<law_report, agentese::error>;

task<law_result> verify(flow& f, logos_parts with, composition_request what) {
  if (auto wrong = co_await prepare(f, with, what.common))
    co_return std::move(*wrong);
  agentese::composition all;
  auto paths = what.paths;
  if (auto wrong = co_await check_stages(f, with, what.common, std::move(paths), all))
    co_return std::move(*wrong);
  law_report out;
  out.locus = all.text();
  if (!changes_nothing(with.nodes, all)) {
    const auto held = laws_of(all);
    const auto has = [&](std::string_view law) {
      return std::find(held.begin(), held.end(), law) != held.end();
    };
    out.identity_holds = has("identity");
    out.associativity_holds = has("associativity");
    co_return out;
  }
  const auto report = [&](std::string_view law, bool& holds, const composed& left,
                          const composed& right) {
    if (same(left, right))
      return;
    holds = false;
    out.errors.emplace_back(std::string{law} + " does not hold for " + out.locus);
  };
  const auto id = identity();
  const auto plain = co_await run_grouped(f, with, what, grouped(all));
  if (const auto* wrong = std::get_if<agentese::error>(&plain.result))
    co_return *wrong;
  const auto left = co_await run_grouped(f, with, what, grouped(id, all));
  report("left identity", out.identity_holds, left, plain);
  const auto right = co_await run_grouped(f, with, what, grouped(all, id));
  report("right identity", out.identity_holds, right, plain);
  const auto n = static_cast<ptrdiff_t>(all.stages.size());
  if (n >= 3) {
    const auto part = [&](ptrdiff_t from, ptrdiff_t to) {
      return agentese::composition{{all.stages.begin() + from, all.stages.begin() + to}};
    };
    // (a >> b) >> c and a >> (b >> c), each run in its own grouping.
    const auto ab_c = co_await run_grouped(f, with, what, grouped(part(0, n - 1), part(n - 1, n)));
    const auto a_bc = co_await run_grouped(f, with, what, grouped(part(0, 1), part(1, n)));
    report("associativity", out.associativity_holds, ab_c, a_bc);
  }
  co_return out;
}

task<bool> verify_flow(flow& f, logos_parts with, composition_request what,
                       std::function<void(law_result)> done) {
  const in_flight_guard counted{with.seen};
  law_result out;
  try {
    out = co_await verify(f, with, std::move(what));
  } catch (const std::exception& why) {
    out = unexpected(why);
  }
  done(std::move(out));
  co_return true;
}

}  // namespace

void logos::compose(runtime::port& on, composition_request what,
                    std::function<void(composed)> done) const {
  flow::start(on, [&](flow& f) {
    return compose_flow(f, {nodes_, prove_, journal_, seen_}, std::move(what), std::move(done));
  });
}

void logos::verify_laws(runtime::port& on, composition_request what,
                        std::function<void(law_result)> done) const {
  flow::start(on, [&](flow& f) {
    return verify_flow(f, {nodes_, prove_, journal_, seen_}, std::move(what), std::move(done));
  });
}

agentese::effects logos::effects_of(const std::vector<std::string>& paths) const {
  agentese::effects out;
  for (const auto& path : paths) {
    const auto parsed = agentese::parse_path(path);
    const auto* at = std::get_if<agentese::path>(&parsed);
    const auto* node = at == nullptr ? nullptr : nodes_.find(at->node).node;
    const auto* aspect = node == nullptr ? nullptr : node->find(at->aspect);
    if (aspect != nullptr)
      out = agentese::compose(std::move(out), aspect->effects);
  }
  return out;
}

}  // namespace kgents::actors
