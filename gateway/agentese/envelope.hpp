#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "actors/logos/logos.hpp"

/// Answers of AGENTESE as JSON text. Results come as text and are put in as they are: a manifest is
/// the hottest read there is, and no tree is built for it.
namespace kgents::gateway {

/// ISO 8601, UTC, microseconds, in quotes.
void append_timestamp(std::string& out, std::chrono::system_clock::time_point at);

/// `{"path","result","tokens_used","cached"}` of /v1.
[[nodiscard]] std::string v1_envelope(std::string_view path, const actors::invoked& x);

/// What the envelope of /api/v1 says beside its result.
struct universal_meta {
  std::string_view observer;
  std::string_view span_id;
  uint32_t duration_ms = 0;
  std::string_view laws_verified = "[]";  ///< JSON text
};
void append_meta(std::string& out, const universal_meta& x);
[[nodiscard]] std::string universal_envelope(std::string_view handle, std::string_view observer,
                                             const actors::invoked& x);

/// `{"path","aspect","result"}` of /agentese.
[[nodiscard]] std::string gateway_envelope(std::string_view path, std::string_view aspect,
                                           const actors::invoked& x);

/// A list of texts as JSON.
void append_list(std::string& out, const std::vector<std::string>& all);

}  // namespace kgents::gateway
