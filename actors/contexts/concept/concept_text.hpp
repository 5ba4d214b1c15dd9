#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/contexts/concept/concept_view.hpp"

/// What is said of a concept where no model is asked: made of its definition, lineage, relations
/// and what was asked. Equal input gives equal texts. Pure.
namespace kgents::actors::concept_text {

/// The definition as it stands after a challenge: its first sentences, qualified by what the
/// challenge brings up and it does not.
[[nodiscard]] std::string refined(const concept_view& x, std::string_view challenge);

/// What a definition comes down to, in a few words.
[[nodiscard]] std::string essence(const concept_view& x);

struct triad {
  std::string thesis;
  std::string antithesis;
  std::string synthesis;
};
/// `thesis` empty: the definition.
[[nodiscard]] triad dialectic(const concept_view& x, std::string_view thesis);

/// The sentence that says the opposite.
[[nodiscard]] std::string negated(std::string_view sentence);

[[nodiscard]] std::string synthesis(const concept_view& x, const concept_view& other);
[[nodiscard]] std::vector<std::string> hypotheses(const concept_view& x);  ///< three

/// A skeleton in the language: what the concept has as fields, what it affords as functions.
[[nodiscard]] std::string sketch(const concept_view& x, std::string_view language);

/// What it consists of: its sentences and telling words, what it is related to.
[[nodiscard]] std::vector<std::string> parts(const concept_view& x);

[[nodiscard]] std::string interpretation(const concept_view& x, std::string_view lens);
[[nodiscard]] std::string expression(const concept_view& x, std::string_view medium);
[[nodiscard]] std::string inspiration(const concept_view& x);

/// `level`: basic, intermediate or advanced.
[[nodiscard]] std::string explanation(const concept_view& x, std::string_view level);
[[nodiscard]] std::string simplified(const concept_view& x);
[[nodiscard]] std::string example(const concept_view& x, size_t turn);
/// Questions that show whether somebody has understood it; with an answer, how much of the
/// definition that covers.
[[nodiscard]] std::string assessment(const concept_view& x, std::string_view answer);

}  // namespace kgents::actors::concept_text
