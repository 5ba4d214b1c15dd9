#include "gateway/agentese/problems.hpp"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>

namespace kgents::gateway {

namespace json = boost::json;
using agentese::category;

namespace {

struct v1_row {
  std::string_view code;
  uint16_t status;
  std::string_view before;  ///< what stands before the message
};
/// A code that is not here has the status of its category and says its message.
constexpr v1_row v1_rows[] = {
    {"SYNTAX_ERROR", 400, "Invalid path: "},
    {"OBSERVER_REQUIRED", 400, "Observer required for this operation: "},
    {"PATH_NOT_FOUND", 404, "Path not found: "},
    {"NODE_NOT_REGISTERED", 404, "Path not found: "},
    {"AFFORDANCE_DENIED", 403, "Affordance not available: "},
    {"BUDGET_EXHAUSTED", 402, "Budget exhausted: "},
    {"INSUFFICIENT_CAPITAL", 402, "Budget exhausted: "},
    {"COMPOSITION_ERROR", 422, "Composition violation: "},
    {"LAW_VIOLATION", 422, "Law check failed: "},
    {"UNAVAILABLE", 503, "Unavailable: "},
};

struct universal_row {
  std::string_view code;
  std::string_view shown;
  uint16_t status;
  std::string_view suggestion;
};
constexpr std::string_view law_suggestion =
    "Make the outputs of each stage match the inputs of the next one.";
constexpr universal_row universal_rows[] = {
    {"PATH_NOT_FOUND", "PATH_NOT_FOUND", 404,
     "Check the spelling; GET /v1/agentese/paths lists what is registered."},
    {"NODE_NOT_REGISTERED", "PATH_NOT_FOUND", 404,
     "Check the spelling; GET /v1/agentese/paths lists what is registered."},
    {"AFFORDANCE_DENIED", "AFFORDANCE_DENIED", 403,
     "Send another X-Observer-Archetype, or use one of the listed affordances."},
    {"OBSERVER_REQUIRED", "OBSERVER_REQUIRED", 401,
     "Send X-Observer-Archetype, X-Observer-Id and X-Observer-Capabilities."},
    {"SYNTAX_ERROR", "SYNTAX_ERROR", 400,
     "Use the form context.holon.aspect, for example world.house.manifest."},
    {"LAW_VIOLATION", "LAW_VIOLATION", 422, law_suggestion},
    {"LINEAGE", "LAW_VIOLATION", 422, law_suggestion},
    {"LATTICE", "LAW_VIOLATION", 422, law_suggestion},
    {"TASTEFULNESS", "LAW_VIOLATION", 422, law_suggestion},
    {"BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED", 402,
     "Tithe with void.gratitude.tithe to regenerate the pool, or ask for less."},
    {"INSUFFICIENT_CAPITAL", "BUDGET_EXHAUSTED", 402,
     "Tithe with void.capital.tithe, or ask for what costs less."},
    {"COMPOSITION_ERROR", "COMPOSITION_ERROR", 422,
     "Check that each stage exists and that its output suits the next one."},
    {"INTERNAL_ERROR", "INTERNAL_ERROR", 500,
     "Try again; if it repeats, look for the trace id in the server's logs."},
};

/// Of errors that are not in a dialect's table, and all of them on `/agentese`.
uint16_t status_of(const agentese::error& x) {
  if (x.category == category::precondition)
    return x.code == "COMPOSITION_ERROR" || x.code == "LAW_VIOLATION" ? 422 : 412;
  return agentese::http_status(x);
}

template <size_t N, class Row>
const Row* row_of(const Row (&rows)[N], std::string_view code) {
  const auto at = std::find_if(rows, rows + N, [&](const Row& x) { return x.code == code; });
  return at == rows + N ? nullptr : at;
}

std::string retry_line(const agentese::error& x) {
  return x.retry_after ? "Retry-After: " + std::to_string(*x.retry_after) + "\r\n" : "";
}

json::value or_null(std::string_view text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::array context_list() {
  json::array out;
  for (const auto name : agentese::context_names)
    out.emplace_back(name);
  return out;
}

/// What the client may use instead, as the error names it.
json::value available_of(const agentese::error& x) {
  for (const auto* name : {"available", "similar_paths"})
    if (const auto* list = x.details.if_contains(name); list != nullptr && list->is_array())
      return *list;
  return nullptr;
}

std::string joined(const json::value& list) {
  std::string out;
  if (const auto* all = list.if_array())
    for (const auto& x : *all)
      if (const auto* text = x.if_string()) {
        out += out.empty() ? "" : ", ";
        out += *text;
      }
  return out;
}

/// What a key lacks, in the words of http-api.md 2.5.
std::string scope_text(const agentese::error& x) {
  const auto* scope = x.details.if_contains("scope");
  const auto aspect = agentese::split_last(x.path).second;
  std::string out = "API key requires '";
  out += scope != nullptr && scope->is_string() ? std::string_view{scope->get_string()} : "write";
  out += "' scope";
  if (!aspect.empty())
    out += " for aspect '" + std::string{aspect} + "'";
  return out;
}

std::string message_of(const agentese::error& x) {
  return x.code == "SCOPE_REQUIRED" ? scope_text(x) : x.message;
}

/// The name that is no context, when that is what is wrong.
std::optional<std::string> unknown_context(const agentese::error& x) {
  constexpr std::string_view words = "Unknown context: '";
  const auto at = x.message.find(words);
  if (x.code != "PATH_NOT_FOUND" || at == std::string::npos)
    return std::nullopt;
  const auto from = at + words.size();
  return x.message.substr(from, x.message.find('\'', from) - from);
}

json::object universal_detail(std::string error, std::string_view code, std::string_view path,
                              std::string_view suggestion, json::value available,
                              std::string_view why, std::string_view span_id) {
  return {{"error", std::move(error)},
          {"code", code},
          {"path", or_null(path)},
          {"suggestion", suggestion},
          {"available", std::move(available)},
          {"why", or_null(why)},
          {"span_id", or_null(span_id)}};
}

}  // namespace

std::string problem::text() const { return json::serialize(body); }

problem v1_problem(const agentese::error& x) {
  problem out;
  const auto* row = row_of(v1_rows, x.code);
  out.status = row != nullptr ? row->status : agentese::http_status(x);
  std::string detail{row != nullptr ? row->before : std::string_view{}};
  detail += message_of(x);
  if (x.code == "AFFORDANCE_DENIED")
    detail += ". Available: " + joined(available_of(x));
  out.body = {{"detail", std::move(detail)}, {"code", x.code}};
  if (x.retry_after)
    out.body["retry_after"] = *x.retry_after;
  out.lines = retry_line(x);
  return out;
}

problem v1_problem(const agentese::refused& x) {
  return {451, {{"detail", "Refused: " + x.reason}, {"code", "REFUSED"}}, {}};
}

problem universal_problem(const agentese::error& x, std::string_view span_id) {
  if (const auto name = unknown_context(x)) {
    const bool in_composition = x.details.contains("stage");
    auto out = invalid_context(*name, in_composition ? std::string_view{x.path} : "");
    out.body.at("detail").as_object()["span_id"] = or_null(span_id);
    return out;
  }
  problem out;
  const auto* row = row_of(universal_rows, x.code);
  out.status = row != nullptr ? row->status : status_of(x);
  out.lines = retry_line(x);
  auto detail = universal_detail(
      message_of(x), row != nullptr ? row->shown : std::string_view{x.code}, x.path,
      row != nullptr ? row->suggestion : std::string_view{x.suggested_action}, available_of(x),
      x.why, span_id);
  if (x.retry_after)
    detail["retry_after"] = *x.retry_after;
  out.body = {{"detail", std::move(detail)}};
  return out;
}

problem universal_problem(const agentese::refused& x, std::string_view span_id) {
  auto detail = agentese::to_json(x);
  for (auto& [name, value] : universal_detail(
           x.reason, "REFUSED", x.path,
           "Nothing was changed or charged; see consent_required and appeal_to.", nullptr,
           "The aspect declined; that is its answer, not a failure.", span_id))
    detail[name] = std::move(value);
  return {451, {{"detail", std::move(detail)}}, {}};
}

problem gateway_problem(const agentese::error& x, std::string_view trace_id) {
  problem out;
  out.status = status_of(x);
  out.lines = retry_line(x);
  if (x.category == category::not_found &&
      (x.code == "NODE_NOT_REGISTERED" || x.code == "PATH_NOT_FOUND")) {
    auto similar = available_of(x);
    if (similar.is_null())
      similar = json::array{};
    out.body = {{"detail", json::object{{"error", x.message},
                                        {"code", x.code},
                                        {"path", or_null(x.path)},
                                        {"why", or_null(x.why)},
                                        {"similar_paths", std::move(similar)},
                                        {"suggestion", x.suggested_action},
                                        {"discover_endpoint", "/agentese/discover"},
                                        {"trace_id", or_null(trace_id)}}}};
    return out;
  }
  auto detail = agentese::to_json(x, trace_id);
  detail["message"] = message_of(x);
  detail["error"] = detail["message"];
  detail["why"] = or_null(x.why);
  out.body = {{"detail", std::move(detail)}};
  return out;
}

problem gateway_problem(const agentese::refused& x, std::string_view trace_id) {
  auto detail = agentese::to_json(x);
  detail["error"] = x.reason;
  detail["code"] = "REFUSED";
  detail["category"] = "refused";
  detail["trace_id"] = or_null(trace_id);
  return {451, {{"detail", std::move(detail)}}, {}};
}

problem invalid_context(std::string_view name, std::string_view in_path) {
  auto error = "Invalid context: '" + agentese::printable(name) + "'";
  if (!in_path.empty())
    error = "Invalid context '" + agentese::printable(name) + "' in path '" +
            agentese::printable(in_path, 512) + "'";
  return {400,
          {{"detail",
            universal_detail(std::move(error), "SYNTAX_ERROR", agentese::printable(in_path, 512),
                             "Use one of the five contexts: world, self, concept, void, "
                             "time.",
                             context_list(), "There are exactly five contexts.", "")}},
          {}};
}

problem missing_aspect(std::string_view path) {
  const auto shown = agentese::printable(path, 512);
  return {400,
          {{"detail", universal_detail("Path '" + shown + "' must include aspect", "SYNTAX_ERROR",
                                       shown, "Format: context.holon.aspect", nullptr, "", "")}},
          {}};
}

}  // namespace kgents::gateway
