#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::actors {

/// A mental space as it goes into a blend: a name and what is told of it.
struct input_space {
  std::string name;
  std::vector<std::string> features;  ///< words
};

/// Conceptual blending (Fauconnier, Turner 1998) on words: what both share, what comes of joining
/// them, and what neither had.
struct blend {
  input_space a;
  input_space b;
  std::vector<std::string> generic;  ///< what both have
  std::vector<std::string> blended;  ///< generic, then in turn what only one has
  std::vector<std::string>
      emergent;          ///< pairs "x y" of what only a and only b have, least alike first
  double alignment = 0;  ///< 0 … 1: how well the features of the smaller one are found in the other
};

constexpr size_t max_features = 32;
constexpr size_t max_emergent = 8;

/// The words of the name come first, then those of the description.
[[nodiscard]] input_space space_of(std::string_view name, std::string_view description);

[[nodiscard]] blend blend_of(input_space a, input_space b);

/// {input_space_a, input_space_b, generic_space, blended_space, emergent_features, alignment_score}
[[nodiscard]] boost::json::object to_json(const blend& x);

}  // namespace kgents::actors
