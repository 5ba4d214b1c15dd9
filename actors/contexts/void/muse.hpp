#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "actors/contexts/void/contract.hpp"

/// What the void says where no model is asked: made from the words it is given and a seed. Pure;
/// equal arguments give equal texts. Never empty, whatever the text.
namespace kgents::actors::void_nodes::muse {

inline constexpr uint32_t deck_size = 20;

/// One of twenty prompts to look at a matter from the side.
[[nodiscard]] std::string_view oblique(uint64_t seed) noexcept;

/// A way to leave what a text is about.
[[nodiscard]] std::string tangent(std::string_view context, uint64_t seed);

[[nodiscard]] std::string inspiration(std::string_view domain, uint64_t seed);

/// Something that is not there, to be looked at.
[[nodiscard]] std::string image(std::string_view subject, uint64_t seed);

/// An imaginary solution: what the contract wants said is said in it.
[[nodiscard]] std::string solution(std::string_view problem, const contract& ensure, uint64_t seed);

/// What a fever makes of a text: its own words in another order, and one prompt.
[[nodiscard]] std::string fever_dream(std::string_view context, uint64_t seed);

}  // namespace kgents::actors::void_nodes::muse
