#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kgents::persona {

/// How the persona answers: mirror, guide, oppose or widen.
enum class mode : uint8_t { reflect, advise, challenge, explore };

inline constexpr std::array all_modes{mode::reflect, mode::advise, mode::challenge, mode::explore};
constexpr mode default_mode = mode::reflect;

/// The mode with that name, in any case; nothing else is accepted.
[[nodiscard]] std::optional<mode> parse_mode(std::string_view name) noexcept;

/// Lower case, as on the wire.
[[nodiscard]] std::string_view name(mode x) noexcept;

/// What the mode is for, in a few words.
[[nodiscard]] std::string_view purpose(mode x) noexcept;

/// Sampling temperature for a model in this mode.
[[nodiscard]] double temperature(mode x) noexcept;

/// What is said when the mode is entered: contains its name, in capitals and as on the wire, and a
/// question.
[[nodiscard]] std::string_view transition_line(mode x) noexcept;

/// Sentences that tell a model how to behave in this mode.
[[nodiscard]] std::string_view instructions(mode x) noexcept;

}  // namespace kgents::persona
