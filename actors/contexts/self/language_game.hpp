#pragma once

#include <optional>
#include <string_view>
#include <vector>

/// The games that self.memory plays: small state machines whose moves are grammatical or not. Pure.
namespace kgents::actors::self_memory {

/// One legal move.
struct move {
  std::string_view game;
  std::string_view from;
  std::string_view direction;
  std::string_view to;
};

[[nodiscard]] std::vector<std::string_view> games();
/// Empty: there is no such game.
[[nodiscard]] std::vector<std::string_view> positions_of(std::string_view game);
/// The legal directions; empty where the game ends.
[[nodiscard]] std::vector<std::string_view> directions_at(std::string_view game,
                                                          std::string_view position);
/// Where a move leads; none: it is against the rules.
[[nodiscard]] std::optional<std::string_view> moved(std::string_view game,
                                                    std::string_view position,
                                                    std::string_view direction);

}  // namespace kgents::actors::self_memory
