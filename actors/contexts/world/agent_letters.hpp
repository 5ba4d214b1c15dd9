#pragma once

#include <span>
#include <string_view>

#include "actors/persona/modes.hpp"

namespace kgents::actors {

/// The agents that every tenant has, one a letter, each good at one thing.
struct agent_letter {
  std::string_view letter;  ///< as in world.agent.<letter>
  std::string_view name;
  std::string_view task;  ///< what it does with what it is given, as an instruction
  persona::mode mode = persona::mode::advise;  ///< of the persona, when no model is asked
};

/// a to w, then psi and flux.
[[nodiscard]] std::span<const agent_letter> agent_letters() noexcept;

/// Null: no such letter.
[[nodiscard]] const agent_letter* find_agent_letter(std::string_view letter) noexcept;

}  // namespace kgents::actors
