#pragma once

#include "actors/persona/modes.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::persona {

constexpr size_t starters_per_mode = 12;

/// The prompts that open a conversation in this mode, with their placeholders `{current focus}`,
/// `{wild idea}`,
/// `{unrelated domain}`, `{current assumption}` and the word "today" not yet filled.
[[nodiscard]] const std::array<std::string_view, starters_per_mode>& starters(mode x) noexcept;

/// What the placeholders of a starter are filled with; the defaults fit when nothing is known.
struct starter_context {
  std::string_view current_focus = "what you are working on";
  std::string_view wild_idea = "the idea you have told nobody";
  std::string_view unrelated_domain = "gardening";
  std::string_view current_assumption = "the thing everyone around you takes for granted";
  std::optional<unsigned> hour{};  ///< 0–23, the reader's clock: "today" becomes the time of day
};

/// The starter with its placeholders filled and "today" adapted: before 06 "tonight", before 12
/// "this morning", from 20 on "this evening", else as it is.
[[nodiscard]] std::string filled(std::string_view starter, const starter_context& context = {});

/// One starter of the mode, filled; the same seed gives the same one.
[[nodiscard]] std::string random_starter(mode x, uint64_t seed,
                                         const starter_context& context = {});

}  // namespace kgents::persona
