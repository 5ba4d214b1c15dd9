// Reading the four lines of a model's verdict: the only part of governance that trusts nobody's
// spelling.
#include "actors/persona/governance.hpp"
#include "actors/persona/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace kgents::persona {

namespace {

enum field : size_t { advice_field, confidence_field, principles_field, reasoning_field };

constexpr std::array<std::string_view, 4> labels{"recommendation", "confidence", "principles",
                                                 "reasoning"};
constexpr size_t max_reasoning_code_points = 2'000;

struct fields {
  std::array<std::optional<std::string>, 4> found;
  bool repeated = false;
};

/// The label that a line starts with, in any case and beside Markdown's marks ("- **CONFIDENCE:**
/// 0.9"), and cuts it off.
std::optional<size_t> take_label(std::string_view& line) {
  constexpr std::string_view marks = " \t\r*_#->`";
  const auto start = line.find_first_not_of(marks);
  if (start == line.npos)
    return std::nullopt;
  const auto rest = line.substr(start);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (rest.size() < labels[i].size() || !same_folded(rest.substr(0, labels[i].size()), labels[i]))
      continue;
    auto value = rest.substr(labels[i].size());
    value.remove_prefix(std::min(value.find_first_not_of("*_` "), value.size()));
    if (value.empty() || value.front() != ':')
      continue;
    value.remove_prefix(1);
    // Not all of the marks: the minus of "-0.5" belongs to the number.
    value.remove_prefix(std::min(value.find_first_not_of(" \t*_`"), value.size()));
    line = value.substr(0, value.find_last_not_of(" \t\r*_`") + 1);
    return i;
  }
  return std::nullopt;
}

fields read(std::string_view answer) {
  fields result;
  auto current = labels.size();
  while (!answer.empty()) {
    const auto end = std::min(answer.find('\n'), answer.size());
    auto line = answer.substr(0, end);
    answer.remove_prefix(std::min(end + 1, answer.size()));
    if (const auto label = take_label(line)) {
      current = *label;
      result.repeated |= result.found[current].has_value();
      result.found[current] = std::string(line);
    } else if (current == reasoning_field) {
      result.found[current]->append(" ").append(line);  // reasoning may run over several lines
    }
  }
  return result;
}

std::optional<recommendation> parse_advice(std::string_view text) {
  const auto word = text.substr(0, text.find_first_of(" .,;("));
  for (auto x : {recommendation::approve, recommendation::reject, recommendation::escalate})
    if (same_folded(word, name(x)))
      return x;
  return std::nullopt;
}

std::optional<double> parse_confidence(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !std::isfinite(value))
    return std::nullopt;
  if (end != text.data() + text.size() && *end == '%')
    value /= 100;
  return std::clamp(value, 0.0, 1.0);
}

std::vector<std::string> parse_principles(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty() && result.size() < max_principles) {
    const auto end = std::min(text.find(','), text.size());
    const auto item = quotable(trimmed(text.substr(0, end)), 60);
    if (!item.empty() && !same_folded(item, "none"))
      result.push_back(item);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

}  // namespace

verdict parse_verdict(std::string_view model_answer) {
  const auto given = read(first_bytes(model_answer, reading_window_bytes));
  const auto text = [&](field x) -> std::string_view {
    return given.found[x] ? std::string_view{*given.found[x]} : std::string_view{};
  };
  verdict result;
  result.was_deep = true;
  const auto advice = parse_advice(text(advice_field));
  const auto confidence = parse_confidence(text(confidence_field));
  if (!advice || !confidence || given.repeated) {
    result.reasoning = "The model's verdict could not be read, so a person has to decide.";
    return result;
  }
  result.advice = *advice;
  result.confidence = *confidence;
  result.principles = parse_principles(text(principles_field));
  result.reasoning = quotable(text(reasoning_field), max_reasoning_code_points);
  if (result.reasoning.empty())
    result.reasoning = "The model gave no reason.";
  if (result.handled() && result.confidence < least_model_confidence) {
    result.advice = recommendation::escalate;
    result.reasoning = "Confidence too low for auto-approve. " + result.reasoning;
  }
  return result;
}

}  // namespace kgents::persona
