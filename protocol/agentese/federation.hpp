#pragma once

#include <optional>
#include <string_view>

#include "protocol/agentese/error.hpp"

namespace kgents::agentese {

/// UNAVAILABLE for `kg://tenant@host/path`, a form that is reserved for paths of other servers;
/// nothing for every other text. Asked before parsing, where such a text would be a syntax error.
[[nodiscard]] inline std::optional<error> refuse_federation(std::string_view text) {
  if (!text.starts_with("kg://"))
    return std::nullopt;
  error result =
      errors::unavailable(printable(text, max_path_bytes), "Paths of other servers are not served");
  result.retry_after = std::nullopt;  // waiting changes nothing
  result.suggested_action = "ask that server itself, with the path alone";
  result.try_ = result.suggested_action;
  return result;
}

}  // namespace kgents::agentese
