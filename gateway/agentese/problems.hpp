#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "protocol/agentese/error.hpp"

/// What an error of AGENTESE is in each of the three dialects of HTTP: one table a dialect.
namespace kgents::gateway {

struct problem {
  uint16_t status = 500;
  boost::json::object body;  ///< `{"detail": …}`
  std::string lines;         ///< header lines beyond the usual ones

  [[nodiscard]] std::string text() const;
};

/// `/v1` (http-api.md 6.1): `detail` is a text.
[[nodiscard]] problem v1_problem(const agentese::error& x);
[[nodiscard]] problem v1_problem(const agentese::refused& x);

/// `/api/v1` (section 11): `detail` is `{error, code, path, suggestion, available, why, span_id}`.
[[nodiscard]] problem universal_problem(const agentese::error& x, std::string_view span_id);
[[nodiscard]] problem universal_problem(const agentese::refused& x, std::string_view span_id);

/// `/agentese` (section 12): `detail` is the transport-neutral form with `error` for its message.
[[nodiscard]] problem gateway_problem(const agentese::error& x, std::string_view trace_id);
[[nodiscard]] problem gateway_problem(const agentese::refused& x, std::string_view trace_id);

/// The `/api/v1` answer to a first segment that is none of the five contexts.
[[nodiscard]] problem invalid_context(std::string_view name, std::string_view in_path = {});
/// And to a path of a composition without an aspect.
[[nodiscard]] problem missing_aspect(std::string_view path);

}  // namespace kgents::gateway
