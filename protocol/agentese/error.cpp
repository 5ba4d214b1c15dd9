#include "protocol/agentese/error.hpp"

#include <array>
#include <boost/json/array.hpp>

namespace kgents::agentese {
namespace {

constexpr std::array<std::string_view, 10> category_names{
    "invalid_input", "unauthorized",   "forbidden", "not_found",   "conflict",
    "precondition",  "quota_exceeded", "timeout",   "unavailable", "internal"};

boost::json::value or_null(std::string_view text) {
  return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
}

/// The text of a member; empty if it is null or missing, nothing if it is of another type.
std::optional<std::string> text_of(const boost::json::object& x, std::string_view name) {
  const auto* member = x.if_contains(name);
  if (!member || member->is_null())
    return std::string{};
  if (!member->is_string())
    return std::nullopt;
  return std::string{member->get_string()};
}

}  // namespace

std::string_view to_string(category x) noexcept { return category_names[static_cast<size_t>(x)]; }

std::optional<category> parse_category(std::string_view name) noexcept {
  for (size_t i = 0; i < category_names.size(); ++i)
    if (category_names[i] == name)
      return static_cast<category>(i);
  return std::nullopt;
}

boost::json::object to_json(const error& x, std::string_view trace_id) {
  boost::json::object result;
  result["category"] = to_string(x.category);
  result["code"] = x.code;
  result["message"] = x.message;
  if (x.retry_after)
    result["retry_after"] = *x.retry_after;
  else
    result["retry_after"] = nullptr;
  result["fallback_verb"] = or_null(x.fallback_verb);
  result["suggested_action"] = or_null(x.suggested_action);
  result["path"] = or_null(x.path);
  result["trace_id"] = or_null(trace_id);
  result["details"] = x.details;
  return result;
}

boost::json::object to_record(const error& x) {
  auto result = to_json(x);
  result.erase("trace_id");
  result["why"] = or_null(x.why);
  result["try"] = or_null(x.try_);
  result["related"] = or_null(x.related);
  return result;
}

std::optional<error> from_json(const boost::json::value& x) {
  const auto* object = x.if_object();
  if (!object)
    return std::nullopt;
  error result;
  result.code.clear();
  std::string category_name;
  for (auto [name, into] :
       {std::pair{"category", &category_name}, std::pair{"code", &result.code},
        std::pair{"message", &result.message}, std::pair{"why", &result.why},
        std::pair{"try", &result.try_}, std::pair{"related", &result.related},
        std::pair{"fallback_verb", &result.fallback_verb},
        std::pair{"suggested_action", &result.suggested_action}, std::pair{"path", &result.path}}) {
    auto text = text_of(*object, name);
    if (!text)
      return std::nullopt;
    *into = std::move(*text);
  }
  const auto found = parse_category(category_name);
  if (!found || result.code.empty() || result.message.empty())
    return std::nullopt;
  result.category = *found;
  if (const auto* after = object->if_contains("retry_after"); after && !after->is_null()) {
    boost::system::error_code failure;
    const auto seconds = after->to_number<uint32_t>(failure);
    if (failure)
      return std::nullopt;
    result.retry_after = seconds;
  }
  if (const auto* details = object->if_contains("details")) {
    if (!details->is_object())
      return std::nullopt;
    result.details = details->get_object();
  }
  return result;
}

std::string print(const error& x) {
  auto result = x.message;
  for (auto [name, text] : {std::pair{"Why: ", &x.why}, std::pair{"Try: ", &x.try_},
                            std::pair{"Related: ", &x.related}})
    if (!text->empty())
      result.append("\n\n    ").append(name).append(*text);
  return result;
}

uint16_t http_status(const error& x) noexcept {
  switch (x.category) {
    case category::invalid_input:
      return 400;
    case category::unauthorized:
      return 401;
    case category::forbidden:
      return 403;
    case category::not_found:
      return 404;
    case category::conflict:
      return 409;
    case category::precondition:
      return 422;
    case category::quota_exceeded:
      return x.code == "BUDGET_EXHAUSTED" || x.code == "INSUFFICIENT_CAPITAL" ? 402 : 429;
    case category::timeout:
      return 504;
    case category::unavailable:
      return 503;
    case category::internal:
      break;
  }
  return 500;
}

boost::json::object to_json(const refused& x) {
  boost::json::object result;
  result["path"] = x.path;
  result["reason"] = x.reason;
  result["consent_required"] = nullptr;
  result["override_cost"] = nullptr;
  result["appeal_to"] = nullptr;
  if (x.consent_required)
    result["consent_required"] = *x.consent_required;
  if (x.override_cost)
    result["override_cost"] = *x.override_cost;
  if (x.appeal_to)
    result["appeal_to"] = *x.appeal_to;
  return result;
}

std::optional<refused> refused_from_json(const boost::json::value& x) {
  const auto* object = x.if_object();
  if (!object || !object->contains("reason"))
    return std::nullopt;
  const auto path = text_of(*object, "path");
  const auto reason = text_of(*object, "reason");
  const auto consent = text_of(*object, "consent_required");
  const auto appeal = text_of(*object, "appeal_to");
  if (!path || !reason || !consent || !appeal)
    return std::nullopt;
  refused result{.path = *path,
                 .reason = *reason,
                 .consent_required = std::nullopt,
                 .override_cost = std::nullopt,
                 .appeal_to = std::nullopt};
  if (!consent->empty())
    result.consent_required = *consent;
  if (!appeal->empty())
    result.appeal_to = *appeal;
  if (const auto* cost = object->if_contains("override_cost"); cost && !cost->is_null()) {
    boost::system::error_code failure;
    result.override_cost = cost->to_number<double>(failure);
    if (failure)
      return std::nullopt;
  }
  return result;
}

}  // namespace kgents::agentese
