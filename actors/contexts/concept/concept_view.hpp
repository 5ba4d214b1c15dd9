#pragma once

#include <string>
#include <vector>

#include "actors/contexts/concept/lineage.hpp"
#include "actors/contexts/node_store.hpp"

namespace kgents::actors {

/// What is known of a concept, as texts about it are made from. A value.
struct concept_view {
  std::string handle;
  std::string name;        ///< spoken: last segment without underscores
  std::string definition;  ///< empty: nobody has said what it means
  std::vector<std::string> examples;
  std::vector<std::string> related;  ///< handles
  kgents::actors::lineage lineage;   ///< without handle: it has none
};

[[nodiscard]] concept_view view_of(const stored_node& node);

/// All of it as lines of text, for a model.
[[nodiscard]] std::string brief(const concept_view& x);

}  // namespace kgents::actors
