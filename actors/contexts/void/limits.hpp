#pragma once

#include <chrono>
#include <cstdint>

#include "sql/agentese_amount.hpp"

/// What things cost and where they end, in the context void (agentese.md sections 8.4 and 18.12).
/// What is stored is bounded beside its statements: sql/agentese_entropy.hpp, agentese_capital.hpp.
namespace kgents::actors::void_nodes::limits {

inline constexpr sql::nano_amount tangent_cost{50'000'000};
inline constexpr sql::nano_amount inspiration_cost{30'000'000};
inline constexpr sql::nano_amount solution_cost{80'000'000};
inline constexpr sql::nano_amount image_cost{50'000'000};

/// What a model is given for a tangent, an image or a solution.
inline constexpr uint32_t model_tokens = 200;
inline constexpr double model_temperature = 1.4;
inline constexpr std::chrono::seconds model_deadline{130};

/// Pressure: a thousand tokens at once bring a fever, and it halves within 69 seconds of rest.
inline constexpr double pressure_per_token = 0.001;
inline constexpr double kept_per_tick = 0.99;  ///< a tick is a second
inline constexpr double fever_at = 1.0;
inline constexpr double fever_until = 0.5;
inline constexpr double fever_draw = 0.5;       ///< of its intensity …
inline constexpr double fever_draw_most = 1.0;  ///< … up to this
inline constexpr double temperature_most = 2.0;
/// Older usage weighs less than a ten-millionth of its pressure.
inline constexpr std::chrono::seconds pressure_window{30 * 60};

/// A dream cycle.
inline constexpr uint32_t dream_least = 10;    ///< interactions
inline constexpr uint32_t dream_most = 100;    ///< the oldest of …
inline constexpr uint32_t dream_buffer = 200;  ///< … the newest so many
inline constexpr uint32_t garden_most = 500;   ///< patterns of dreams, for a tenant
inline constexpr uint32_t words_most = 10;     ///< recurring words that one cycle takes up
inline constexpr uint32_t suggestions_most = 10;
inline constexpr double dream_temperature = 0.3;
inline constexpr uint32_t dream_tokens = 500;
inline constexpr std::chrono::days compost_after{30};

}  // namespace kgents::actors::void_nodes::limits
