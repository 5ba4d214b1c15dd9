// The rows of agentese.md section 16's table. A suggested action is told with every one of them.

#include <boost/json/array.hpp>
#include <charconv>
#include <utility>

#include "protocol/agentese/error.hpp"

namespace kgents::agentese::errors {
namespace {

constexpr size_t max_shown = 5;

std::string joined(names all) {
  std::string result;
  for (const auto& each : all)
    result.append(result.empty() ? "" : ", ").append(each);
  return result;
}

boost::json::array listed(names all) {
  boost::json::array result;
  for (const auto& each : all)
    result.emplace_back(each);
  return result;
}

names shown(names all) { return all.first(std::min(all.size(), max_shown)); }

std::string quoted(std::string_view text) { return "'" + printable(text) + "'"; }

/// The shortest text that reads as the same number.
std::string text_of(double x) {
  char buffer[32];
  const auto [end, failure] = std::to_chars(buffer, buffer + sizeof buffer, x);
  return failure == std::errc{} ? std::string{buffer, end} : std::string{};
}

error made(category what, std::string_view code, std::string message, std::string_view path,
           std::string suggested_action) {
  error result;
  result.category = what;
  result.code = code;
  result.message = std::move(message);
  result.path = path;
  result.suggested_action = std::move(suggested_action);
  return result;
}

/// The manifest of the node of a full path.
std::string manifest_of(std::string_view path) {
  const auto [node, aspect] = split_last(path);
  return aspect.empty() ? std::string{} : std::string{node} + ".manifest";
}

}  // namespace

error path_syntax(std::string_view text, const syntax_error& why) {
  if (why.what == syntax_error::kind::unknown_context)
    return unknown_context(text, why.locus);
  auto result = made(category::invalid_input, "SYNTAX_ERROR", why.message, printable(text, 512),
                     why.suggestion);
  result.details["locus"] = why.locus;
  result.details["position"] = why.position;
  result.try_ = why.suggestion;
  return result;
}

error path_not_found(std::string_view path, std::string message, names available) {
  available = shown(available);
  auto result =
      made(category::not_found, "PATH_NOT_FOUND", std::move(message), printable(path, 512),
           available.empty() ? "check the spelling, or list what there is with a query such as ?*.*"
                             : "did you mean " + joined(available) + "?");
  result.why = "Nothing is registered or stored at this path.";
  result.try_ = result.suggested_action;
  result.details["available"] = listed(available);
  return result;
}

error unknown_context(std::string_view path, std::string_view name) {
  std::string all;
  for (const auto each : context_names)
    all.append(all.empty() ? "" : ", ").append(each);
  auto result = made(category::not_found, "PATH_NOT_FOUND", "Unknown context: " + quoted(name),
                     printable(path, 512), "begin the path with one of " + all);
  result.why = "There are exactly five contexts, and no alias has this name.";
  result.try_ = all;
  boost::json::array available;
  for (const auto each : context_names)
    available.emplace_back(each);
  result.details["available"] = std::move(available);
  return result;
}

error node_not_registered(std::string_view node, names similar_paths) {
  similar_paths = shown(similar_paths);
  auto result = made(category::not_found, "NODE_NOT_REGISTERED",
                     "Node " + quoted(node) + " not registered", printable(node, 512),
                     similar_paths.empty()
                         ? "list the registered nodes with discovery or a query such as ?*.*"
                         : "did you mean " + joined(similar_paths) + "?");
  result.why = "Only nodes of the registry answer here.";
  result.try_ = result.suggested_action;
  result.details["similar_paths"] = listed(similar_paths);
  return result;
}

error affordance_denied(std::string_view path, std::string_view aspect, std::string_view archetype,
                        names available) {
  auto result = made(category::forbidden, "AFFORDANCE_DENIED",
                     "Aspect " + quoted(aspect) + " not available to " + printable(archetype), path,
                     "use one of the listed affordances");
  result.why = "The archetype " + quoted(archetype) + " does not afford it at this node.";
  result.try_ = joined(available);
  result.related = manifest_of(path);
  result.fallback_verb = manifest_of(path);
  result.details["aspect"] = aspect;
  result.details["observer_archetype"] = archetype;
  result.details["available"] = listed(available);
  return result;
}

error observer_required(std::string_view path) {
  auto result = made(category::unauthorized, "OBSERVER_REQUIRED", "An observer is required", path,
                     "send an observer: its archetype, id and capabilities");
  result.why = "What a path answers depends on who asks.";
  result.try_ = result.suggested_action;
  return result;
}

error budget_exhausted(std::string_view path, double remaining, double requested) {
  auto result =
      made(category::quota_exceeded, "BUDGET_EXHAUSTED",
           "Requested " + text_of(requested) + " but only " + text_of(remaining) + " remaining",
           path, "tithe with void.gratitude.tithe to regenerate the pool, or ask for less");
  result.why = "The pool of entropy is finite.";
  result.try_ = result.suggested_action;
  result.related = "void.entropy.status";
  result.fallback_verb = "void.gratitude.tithe";
  result.details["remaining"] = remaining;
  result.details["requested"] = requested;
  return result;
}

error insufficient_capital(std::string_view path, std::string_view agent, double required,
                           double available) {
  auto result = made(category::quota_exceeded, "INSUFFICIENT_CAPITAL",
                     "Insufficient capital: " + text_of(required) + " required, " +
                         text_of(available) + " available to " + printable(agent),
                     path, "see void.capital.balance, and ask for what costs less");
  result.why = "Capital is earned; a check cannot be bypassed on credit.";
  result.try_ = result.suggested_action;
  result.fallback_verb = "void.capital.balance";
  result.details["agent"] = agent;
  result.details["required"] = required;
  result.details["available"] = available;
  return result;
}

error tastefulness(std::string_view path, names validation_errors) {
  auto result = made(category::invalid_input, "TASTEFULNESS",
                     validation_errors.empty()
                         ? std::string{"The definition is not valid"}
                         : "The definition is not valid: " + joined(shown(validation_errors)),
                     path, "correct the listed validation errors and define it again");
  result.try_ = result.suggested_action;
  result.details["validation_errors"] = listed(validation_errors);
  return result;
}

error lineage(std::string_view handle, names missing_parents) {
  auto result =
      made(category::precondition, "LINEAGE",
           missing_parents.empty()
               ? quoted(handle) + " has no parent: nothing comes from nothing"
               : quoted(handle) + " extends what does not exist: " + joined(missing_parents),
           handle, "name at least one existing parent in extends, concept at the least");
  result.why = "Every definition descends from another.";
  result.try_ = result.suggested_action;
  result.details["handle"] = handle;
  result.details["missing_parents"] = listed(missing_parents);
  return result;
}

error lattice(std::string_view handle, std::string_view violation_type, std::string_view detail) {
  auto result = made(category::precondition, "LATTICE",
                     quoted(handle) + " does not fit the lattice: " + printable(detail, 512),
                     handle, "choose parents whose affordances and constraints agree");
  result.why = "The violation is of type " + std::string{violation_type} + ".";
  result.try_ = result.suggested_action;
  result.details["handle"] = handle;
  result.details["violation_type"] = violation_type;
  return result;
}

error composition_violation(std::string_view law_violated, std::string_view locus,
                            std::string message) {
  auto result =
      made(category::precondition, "COMPOSITION_ERROR", std::move(message), printable(locus, 512),
           "check that each stage exists and that its output suits the next stage");
  result.why = "It would violate the law " + quoted(law_violated) + ".";
  result.try_ = result.suggested_action;
  result.details["law_violated"] = law_violated;
  result.details["locus"] = printable(locus, 512);
  return result;
}

error minimal_output(std::string_view locus) {
  auto result = composition_violation(
      "minimal_output", locus, "Array return violates Minimal Output Principle: " + quoted(locus));
  result.suggested_action = "return one logical unit: put the array into an object";
  result.try_ = result.suggested_action;
  return result;
}

error stage_failed(size_t stage, std::string_view path, const error& cause) {
  auto result = cause;
  result.message =
      "Stage " + std::to_string(stage + 1) + " " + quoted(path) + " failed: " + cause.message;
  result.details["stage"] = stage + 1;
  result.details["stage_path"] = printable(path, 512);
  return result;
}

error law_check_failed(std::string_view law, std::string_view locus, const boost::json::value& left,
                       const boost::json::value& right) {
  auto result =
      made(category::precondition, "LAW_VIOLATION",
           "Law " + quoted(law) + " does not hold at " + quoted(locus), printable(locus, 512),
           "make the outputs of each stage match the inputs of the next one");
  result.why = "Both sides of the law were run, and their results differ.";
  result.try_ = result.suggested_action;
  result.details["law"] = law;
  result.details["locus"] = printable(locus, 512);
  result.details["left"] = left;
  result.details["right"] = right;
  return result;
}

error category_violation(std::string_view path, std::string_view aspect,
                         std::string_view aspect_category) {
  auto result = made(category::forbidden, "CATEGORY_VIOLATION",
                     "Aspect " + quoted(aspect) + " is of category " +
                         std::string{aspect_category} + " and may not write",
                     path, "use an aspect of category MUTATION for what changes state");
  result.why = "Nothing of what it tried to write was kept.";
  result.try_ = result.suggested_action;
  result.details["aspect"] = aspect;
  result.details["category"] = aspect_category;
  return result;
}

error recursive_alias(std::string_view alias, std::string_view target) {
  auto result = made(category::invalid_input, "RECURSIVE_ALIAS",
                     "Recursive alias detected: " + quoted(alias) + " -> " + quoted(target),
                     printable(target, 512), "let the target begin with a context, not an alias");
  result.why = "Aliases are expanded once.";
  result.try_ = result.suggested_action;
  result.details["alias"] = printable(alias);
  result.details["target"] = printable(target, 512);
  return result;
}

error alias_shadow(std::string_view alias, std::string_view target) {
  auto result =
      made(category::invalid_input, "ALIAS_SHADOW",
           "Cannot create alias " + quoted(alias) + ": would shadow context " + quoted(alias),
           printable(target, 512), "choose a name that is not a context");
  result.try_ = result.suggested_action;
  result.details["alias"] = printable(alias);
  result.details["target"] = printable(target, 512);
  return result;
}

error alias_not_found(std::string_view alias) {
  auto result = made(category::not_found, "ALIAS_NOT_FOUND", "Alias not found: " + quoted(alias),
                     {}, "list the aliases to see which there are");
  result.try_ = result.suggested_action;
  result.details["alias"] = printable(alias);
  return result;
}

error query_syntax(std::string_view pattern, std::string message, std::string suggestion) {
  auto result =
      made(category::invalid_input, "QUERY_SYNTAX", std::move(message), {}, std::move(suggestion));
  result.try_ = result.suggested_action;
  result.details["pattern"] = printable(pattern, 512);
  return result;
}

error query_bound(std::string_view pattern, std::string message) {
  auto result = made(category::invalid_input, "QUERY_BOUND", std::move(message), {},
                     "page through the matches with limit and offset");
  result.try_ = result.suggested_action;
  result.details["pattern"] = printable(pattern, 512);
  return result;
}

error timeout(std::string_view path, std::chrono::milliseconds after) {
  auto result =
      made(category::timeout, "TIMEOUT", "Timed out after " + std::to_string(after.count()) + " ms",
           path, "try again, with a later deadline if the aspect is slow");
  result.try_ = result.suggested_action;
  result.details["after_ms"] = after.count();
  return result;
}

error unavailable(std::string_view path, std::string message, uint32_t retry_after_seconds) {
  auto result = made(category::unavailable, "UNAVAILABLE", std::move(message), path,
                     "try again in a moment, waiting longer each time");
  result.retry_after = retry_after_seconds;
  result.try_ = result.suggested_action;
  return result;
}

error internal(std::string_view path) {
  auto result = made(category::internal, "INTERNAL_ERROR", "Internal error", path,
                     "try again; if it repeats, look for the trace id in the server's log");
  result.try_ = result.suggested_action;
  return result;
}

error invalid_argument(std::string_view path, std::string_view argument, std::string message) {
  auto result = made(category::invalid_input, "INVALID_ARGUMENT", std::move(message), path,
                     "correct the argument " + quoted(argument) + "; help shows what is expected");
  result.try_ = result.suggested_action;
  if (const auto [node, aspect] = split_last(path); !aspect.empty())
    result.related = std::string{node} + ".help";
  result.details["argument"] = argument;
  return result;
}

error scope_required(std::string_view path, std::string_view scope) {
  auto result =
      made(category::forbidden, "SCOPE_REQUIRED", "The credential lacks the scope " + quoted(scope),
           path, "use a credential that has the scope " + quoted(scope));
  result.why = "The archetype is a lens, not a credential.";
  result.try_ = result.suggested_action;
  result.fallback_verb = manifest_of(path);
  result.details["scope"] = scope;
  return result;
}

error capability_required(std::string_view path, std::string_view capability) {
  auto result = made(category::forbidden, "CAPABILITY_REQUIRED",
                     "A capability for " + quoted(capability) + " is required", path,
                     "present a capability token with the scope " + quoted(capability));
  result.why = "Each resource that is written needs its own capability.";
  result.try_ = result.suggested_action;
  result.fallback_verb = manifest_of(path);
  result.details["capability"] = capability;
  return result;
}

}  // namespace kgents::agentese::errors
