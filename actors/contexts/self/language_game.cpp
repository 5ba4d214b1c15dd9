#include "actors/contexts/self/language_game.hpp"

#include <algorithm>

namespace kgents::actors::self_memory {

namespace {

constexpr move moves[] = {
    // Remembering: a cue is followed until something is found or given up.
    {"recall", "idle", "cue", "cued"},
    {"recall", "cued", "search", "searching"},
    {"recall", "cued", "abandon", "idle"},
    {"recall", "searching", "find", "recalled"},
    {"recall", "searching", "broaden", "cued"},
    {"recall", "searching", "abandon", "idle"},
    {"recall", "recalled", "reinforce", "reinforced"},
    {"recall", "recalled", "release", "idle"},
    {"recall", "reinforced", "release", "idle"},
    // Keeping: what is new becomes firm, or fades.
    {"consolidate", "fresh", "rehearse", "rehearsed"},
    {"consolidate", "fresh", "ignore", "fading"},
    {"consolidate", "rehearsed", "integrate", "consolidated"},
    {"consolidate", "rehearsed", "interrupt", "fading"},
    {"consolidate", "fading", "rehearse", "rehearsed"},
    {"consolidate", "fading", "forget", "forgotten"},
    {"consolidate", "consolidated", "recall", "rehearsed"},
    // Talking: every assertion may be asked for its reasons.
    {"dialogue", "open", "assert", "asserted"},
    {"dialogue", "open", "ask", "asked"},
    {"dialogue", "asked", "answer", "asserted"},
    {"dialogue", "asserted", "challenge", "challenged"},
    {"dialogue", "asserted", "accept", "agreed"},
    {"dialogue", "challenged", "justify", "asserted"},
    {"dialogue", "challenged", "withdraw", "open"},
    {"dialogue", "agreed", "continue", "open"},
};

void add(std::vector<std::string_view>& to, std::string_view x) {
  if (std::find(to.begin(), to.end(), x) == to.end())
    to.push_back(x);
}

}  // namespace

std::vector<std::string_view> games() {
  std::vector<std::string_view> out;
  for (const auto& x : moves)
    add(out, x.game);
  return out;
}

std::vector<std::string_view> positions_of(std::string_view game) {
  std::vector<std::string_view> out;
  for (const auto& x : moves)
    if (x.game == game) {
      add(out, x.from);
      add(out, x.to);
    }
  return out;
}

std::vector<std::string_view> directions_at(std::string_view game, std::string_view position) {
  std::vector<std::string_view> out;
  for (const auto& x : moves)
    if (x.game == game && x.from == position)
      add(out, x.direction);
  return out;
}

std::optional<std::string_view> moved(std::string_view game, std::string_view position,
                                      std::string_view direction) {
  for (const auto& x : moves)
    if (x.game == game && x.from == position && x.direction == direction)
      return x.to;
  return std::nullopt;
}

}  // namespace kgents::actors::self_memory
