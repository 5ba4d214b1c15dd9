#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "actors/contexts/node_store.hpp"

/// What is said of an entity where no model is asked: made of its state, relations and past. Equal
/// entities give equal texts. Pure.
namespace kgents::actors::entity_text {

/// "colour: red", "parts: wall, roof" … for the members of a state, at most `most`.
[[nodiscard]] std::vector<std::string> facts(const boost::json::object& state, size_t most = 12);

/// A JSON value in a few words.
[[nodiscard]] std::string in_words(const boost::json::value& x);

[[nodiscard]] std::string description(const stored_node& node);

/// `context`: what to see the entity through; empty: one of its own facts. `turn` picks among
/// several, so that asking again says something else.
[[nodiscard]] std::string metaphor(const stored_node& node, std::string_view context, size_t turn);

[[nodiscard]] std::string contemplation(const stored_node& node);

/// A plan for `purpose`, from what is there and what is missing.
[[nodiscard]] std::string design(const stored_node& node, std::string_view purpose);

/// Three statements about the state that could be tested.
[[nodiscard]] std::vector<std::string> hypotheses(const stored_node& node);

/// All that is known of it, for a model: one line a fact.
[[nodiscard]] std::string brief(const stored_node& node);

}  // namespace kgents::actors::entity_text
