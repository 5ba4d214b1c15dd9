#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "actors/contexts/call.hpp"

/// What the context `self` keeps of one tenant at most, and the answers where that is passed. Each
/// number is far above what people and their agents make by hand, and bounds what one aspect reads.
namespace kgents::actors::self_limits {

inline constexpr uint64_t memories = 10'000;
inline constexpr size_t memory_bytes = 64 * 1024;  ///< of one, as JSON; a tsvector takes 1 MiB
inline constexpr size_t listed_keys = 20;          ///< recall without key and query
inline constexpr size_t matches = 10;
inline constexpr size_t checkpoint_keys = 1'000;  ///< shown of a checkpoint of memory
inline constexpr size_t checkpoints = 100;        ///< of each subject; the oldest go
inline constexpr uint64_t crystals = 1'000;
inline constexpr size_t window_bytes = 1024 * 1024;  ///< that may be given to crystallize
inline constexpr size_t reaped_at_once = 500;
inline constexpr uint64_t concepts = 2'000;  ///< retrieve compares with each
inline constexpr uint64_t traces = 10'000;
inline constexpr uint64_t names = 10'000;  ///< in agentese_self
inline constexpr uint64_t state_bytes =
    1024 * 1024;  ///< of all their values: what a checkpoint holds
inline constexpr size_t capabilities = 1'000;
inline constexpr size_t expectations = 100;  ///< of one observer
inline constexpr size_t expectation_bytes = 64 * 1024;
inline constexpr uint64_t pending_decisions = 1'000;
inline constexpr size_t listed_decisions = 1'000;
inline constexpr size_t live_souls = 1'000;  ///< in memory; the least recently used go

/// LIMIT_REACHED: the tenant has as many as it may.
[[nodiscard]] inline agentese::error reached(const aspect_call& c, std::string_view of_what,
                                             uint64_t most, std::string_view next) {
  agentese::error out;
  out.category = agentese::category::precondition;
  out.code = "LIMIT_REACHED";
  out.message = "At most " + std::to_string(most) + " " + std::string{of_what} + " are kept";
  out.suggested_action = std::string{next};
  out.path = c.full_path();
  out.details = {{"limit", most}};
  return out;
}

/// A thing of the tenant's that an argument names and that is not there.
[[nodiscard]] inline agentese::error not_found(const aspect_call& c, std::string code,
                                               std::string message, std::string_view next) {
  agentese::error out;
  out.category = agentese::category::not_found;
  out.code = std::move(code);
  out.message = std::move(message);
  out.suggested_action = std::string{next};
  out.path = c.full_path();
  return out;
}

}  // namespace kgents::actors::self_limits
