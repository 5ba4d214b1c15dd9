#pragma once

#include <optional>
#include <string>

#include "actors/contexts/call.hpp"

namespace kgents::actors::void_nodes {

/// What the nodes of void ask a model: a short text. User text goes into `user` only, it is data.
struct short_question {
  std::string system;
  std::string user;
  double temperature = 1.4;
  uint32_t max_tokens = 200;
};

/// None when no model is configured, it failed, or it said nothing: there is a fallback then.
[[nodiscard]] task<std::optional<std::string>> ask_briefly(aspect_call& c, short_question what);

}  // namespace kgents::actors::void_nodes
