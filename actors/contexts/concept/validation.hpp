#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "actors/contexts/concept/concept_view.hpp"

namespace kgents::actors {

/// Whether a concept is complete (agentese.md 8.3).
struct validation {
  bool has_definition = false;
  bool has_examples = false;
  bool has_relations = false;
  bool domain_specified = false;

  [[nodiscard]] bool valid() const noexcept {
    return has_definition && has_examples && has_relations && domain_specified;
  }
};

/// `domain`: beyond what the concept's own lineage says; empty: nothing.
[[nodiscard]] validation validate(const concept_view& x, std::string_view domain);
/// {validation, valid, criteria_checked}
[[nodiscard]] boost::json::object to_json(const validation& x);

/// What is wrong with it as a concept: no definition, a circular, vague or overlong one, nothing to
/// show for it, nothing it belongs to. One sentence a finding; never empty.
[[nodiscard]] std::vector<std::string> criticism(const concept_view& x);

/// What would make it better, a sentence each; never empty.
[[nodiscard]] std::vector<std::string> improvements(const concept_view& x);

/// Which of the candidates it is most like, 0 … 1 each, best first.
struct likeness {
  std::string handle;
  double score = 0;
};
[[nodiscard]] std::vector<likeness> classify(const concept_view& x,
                                             const std::vector<concept_view>& candidates);

}  // namespace kgents::actors
