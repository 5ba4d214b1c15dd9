#pragma once

#include "actors/persona/eigenvectors.hpp"
#include "actors/persona/prompts.hpp"
#include "actors/persona/seed.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::persona {

// Whether an action may go ahead unasked (agentese.md 18.8). Three pure rules; when in doubt, a
// person decides.
//
//   evaluate_danger; if it sees none,
//     with a model:    verdict_question, then parse_verdict or verdict_of_failure
//     without a model: evaluate_keywords

struct governance_request {
  std::string action{};
  std::string reason{};
  double severity = 0.5;
  std::string token_id{};  ///< see `governance_token`
};

/// "api_{user}_{first 20 code points of the action}".
[[nodiscard]] std::string governance_token(std::string_view user, std::string_view action);

enum class recommendation : uint8_t { approve, reject, escalate };

[[nodiscard]] std::string_view name(recommendation x) noexcept;

struct verdict {
  recommendation advice = recommendation::escalate;
  double confidence = 0;                ///< [0, 1]
  std::vector<std::string> principles;  ///< at most 3
  std::string reasoning;                ///< never empty
  std::string annotation;
  bool was_deep = false;  ///< a model was asked

  /// Approved without a person.
  [[nodiscard]] bool handled() const noexcept { return advice == recommendation::approve; }
};

constexpr size_t max_principles = 3;
constexpr double least_model_confidence = 0.7;    ///< below it a model's approval is escalated
constexpr double least_keyword_confidence = 0.8;  ///< below it keywords approve nothing
constexpr double verdict_temperature = 0.2;
constexpr uint32_t verdict_max_tokens = 500;

/// The first dangerous word in the action, or none. Substrings on purpose: "product" holds "prod",
/// and escalating too often is the safe side.
[[nodiscard]] std::optional<std::string_view> dangerous_word(std::string_view action);

/// Rule 1: a verdict when the action is dangerous, whatever else speaks for it.
[[nodiscard]] std::optional<verdict> evaluate_danger(const governance_request& ask);

/// Rule 2: what the model is asked; action and reason go into the user turn only.
[[nodiscard]] model_request verdict_question(const governance_request& ask,
                                             const eigenvectors& axes);

/// Rule 2: reads the model's four lines. A missing or unknown RECOMMENDATION or CONFIDENCE, or a
/// label that comes twice, makes the answer unreadable: escalate. Twice, because an action may try
/// to bring its own verdict along.
[[nodiscard]] verdict parse_verdict(std::string_view model_answer);

/// Rule 2: the model did not answer.
[[nodiscard]] verdict verdict_of_failure();

/// Rule 3: approves only what at least one principle and enough patterns speak for. Reads the
/// action alone: a reason may say anything.
[[nodiscard]] verdict evaluate_keywords(const governance_request& ask, const persona_seed& seed);

/// The body of `POST /v1/soul/governance`: {approved, reasoning, alternatives, confidence,
/// tokens_used, recommendation, principles}; reject and escalate come with three alternatives each.
[[nodiscard]] boost::json::object http_body(const verdict& x, uint32_t tokens_used);

/// The result as AGENTESE returns it: {handled, recommendation, confidence, principles, reasoning,
/// annotation, was_deep}.
[[nodiscard]] boost::json::object agentese_result(const verdict& x);

/// One line of the audit log; every evaluation writes one.
struct audit_entry {
  std::chrono::system_clock::time_point timestamp;
  std::string token_id;
  std::string action;  ///< what was asked for, the first 500 code points
  double confidence = 0;
  std::vector<std::string> principles;
  std::string reasoning;
  std::string operation;  ///< what came of it: approve, reject or escalate
  double severity = 0.5;
  bool was_deep = false;
};

[[nodiscard]] audit_entry audit_of(const governance_request& ask, const verdict& x,
                                   std::chrono::system_clock::time_point now);

/// Members in the order of the struct; the timestamp as ISO 8601 in UTC with microseconds and
/// offset.
[[nodiscard]] boost::json::object to_json(const audit_entry& x);

}  // namespace kgents::persona
