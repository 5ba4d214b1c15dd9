#pragma once

// Errors and refusals of AGENTESE (agentese.md section 16): values, never thrown. The gateway
// chooses the body a route wants; everything that is told is in here.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/agentese/path.hpp"

namespace kgents::agentese {

enum class category : uint8_t {
  invalid_input,
  unauthorized,
  forbidden,
  not_found,
  conflict,
  precondition,
  quota_exceeded,
  timeout,
  unavailable,
  internal,
};

[[nodiscard]] std::string_view to_string(category x) noexcept;
[[nodiscard]] std::optional<category> parse_category(std::string_view name) noexcept;

struct error {
  agentese::category category = agentese::category::internal;
  std::string code = "INTERNAL_ERROR";
  std::string message;
  std::string why;  ///< paragraphs of the printed form; may be empty
  std::string try_;
  std::string related;
  std::optional<uint32_t> retry_after;  ///< seconds
  std::string fallback_verb;            ///< a full path that would answer, or empty
  std::string suggested_action;         ///< the next step, never empty
  std::string path;
  boost::json::object details;

  friend bool operator==(const error&, const error&) = default;
};

/// The transport-neutral form; members without a value are null.
[[nodiscard]] boost::json::object to_json(const error& x, std::string_view trace_id = {});

/// The same with why, try and related: nothing is lost between nodes.
[[nodiscard]] boost::json::object to_record(const error& x);

/// Reads either form; nothing if category, code or message are missing or of another type.
[[nodiscard]] std::optional<error> from_json(const boost::json::value& x);

/// The message, then paragraphs `Why:`, `Try:`, `Related:`, each after a blank line and four
/// spaces.
[[nodiscard]] std::string print(const error& x);

/// The HTTP status of most routes: 400 401 403 404 409 422 402 504 503 500. Quotas other than
/// budget and capital are 429.
[[nodiscard]] uint16_t http_status(const error& x) noexcept;

/// A refusal is an answer, not an error: HTTP 451, charges nothing.
struct refused {
  std::string path;
  std::string reason;
  std::optional<std::string> consent_required;
  std::optional<double> override_cost;
  std::optional<std::string> appeal_to;

  friend bool operator==(const refused&, const refused&) = default;
};

[[nodiscard]] boost::json::object to_json(const refused& x);
[[nodiscard]] std::optional<refused> refused_from_json(const boost::json::value& x);

/// One constructor for each row of section 16's table; the comment is its code.
namespace errors {

using names = std::span<const std::string>;

/// SYNTAX_ERROR, or PATH_NOT_FOUND for an unknown context.
[[nodiscard]] error path_syntax(std::string_view text, const syntax_error& why);
/// PATH_NOT_FOUND. `available`: at most 5 are shown.
[[nodiscard]] error path_not_found(std::string_view path, std::string message,
                                   names available = {});
[[nodiscard]] error unknown_context(std::string_view path, std::string_view name);
/// NODE_NOT_REGISTERED
[[nodiscard]] error node_not_registered(std::string_view node, names similar_paths = {});
/// AFFORDANCE_DENIED. `path` is the full path, `available` all that the observer has.
[[nodiscard]] error affordance_denied(std::string_view path, std::string_view aspect,
                                      std::string_view archetype, names available);
/// OBSERVER_REQUIRED
[[nodiscard]] error observer_required(std::string_view path);
/// BUDGET_EXHAUSTED
[[nodiscard]] error budget_exhausted(std::string_view path, double remaining, double requested);
/// INSUFFICIENT_CAPITAL
[[nodiscard]] error insufficient_capital(std::string_view path, std::string_view agent,
                                         double required, double available);
/// TASTEFULNESS
[[nodiscard]] error tastefulness(std::string_view path, names validation_errors);
/// LINEAGE
[[nodiscard]] error lineage(std::string_view handle, names missing_parents);
/// LATTICE. `violation_type`: cycle, affordance_conflict or empty_constraints.
[[nodiscard]] error lattice(std::string_view handle, std::string_view violation_type,
                            std::string_view detail);
/// COMPOSITION_ERROR
[[nodiscard]] error composition_violation(std::string_view law_violated, std::string_view locus,
                                          std::string message);
/// COMPOSITION_ERROR with law_violated minimal_output. `locus`: the stage's path.
[[nodiscard]] error minimal_output(std::string_view locus);
/// The error of a stage (from 0) of a composition: its own code and category, with its number and
/// path in the message (`Stage 2 …`) and in details.stage (from 1), details.stage_path.
[[nodiscard]] error stage_failed(size_t stage, std::string_view path, const error& cause);
/// LAW_VIOLATION
[[nodiscard]] error law_check_failed(std::string_view law, std::string_view locus,
                                     const boost::json::value& left,
                                     const boost::json::value& right);
/// CATEGORY_VIOLATION
[[nodiscard]] error category_violation(std::string_view path, std::string_view aspect,
                                       std::string_view aspect_category);
/// RECURSIVE_ALIAS
[[nodiscard]] error recursive_alias(std::string_view alias, std::string_view target);
/// ALIAS_SHADOW
[[nodiscard]] error alias_shadow(std::string_view alias, std::string_view target);
/// ALIAS_NOT_FOUND
[[nodiscard]] error alias_not_found(std::string_view alias);
/// QUERY_SYNTAX
[[nodiscard]] error query_syntax(std::string_view pattern, std::string message,
                                 std::string suggestion);
/// QUERY_BOUND
[[nodiscard]] error query_bound(std::string_view pattern, std::string message);
/// TIMEOUT
[[nodiscard]] error timeout(std::string_view path, std::chrono::milliseconds after);
/// UNAVAILABLE
[[nodiscard]] error unavailable(std::string_view path, std::string message,
                                uint32_t retry_after_seconds = 1);
/// INTERNAL_ERROR. Tells the caller nothing about the cause: log that with the trace id.
[[nodiscard]] error internal(std::string_view path);
/// INVALID_ARGUMENT
[[nodiscard]] error invalid_argument(std::string_view path, std::string_view argument,
                                     std::string message);
/// SCOPE_REQUIRED: the credential's scope, e.g. write.
[[nodiscard]] error scope_required(std::string_view path, std::string_view scope);
/// CAPABILITY_REQUIRED: a capability token's scope, e.g. memory:write.
[[nodiscard]] error capability_required(std::string_view path, std::string_view capability);

}  // namespace errors
}  // namespace kgents::agentese
