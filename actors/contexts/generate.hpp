#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "actors/contexts/call.hpp"

namespace kgents::actors {

/// What a model is to write. What users said goes into `user` only: it is data, not instructions.
struct writing_task {
  std::string system;
  std::string user;
  double temperature = 0.7;
  uint32_t max_tokens = 500;
};

/// The model's text without white space around it; nothing when there is no model, it failed or
/// said nothing: the caller then computes an answer of its own.
[[nodiscard]] task<std::optional<std::string>> generated(aspect_call& c, writing_task what);

}  // namespace kgents::actors
