#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "actors/contexts/node_store.hpp"

/// What the nodes that tenants define have in common: world.* and concept.*.
namespace kgents::actors {

/// Exists when it is stored, or is about to be: `define` asks for what is not there yet.
[[nodiscard]] task<resolution> resolve_stored(aspect_call& c);

/// The node as it is stored, or as new: what nobody has defined can be explored all the same.
[[nodiscard]] task<stored_node> editable(aspect_call& c, std::string path);
[[nodiscard]] task<node_ptr> explored(aspect_call& c);

/// Changes the node and says in `result` what came of it; a value ends the aspect with nothing
/// stored.
using edit = std::optional<outcome> (*)(aspect_call& c, stored_node& node,
                                        boost::json::object& result);

/// Runs an edit on the node of the call, under its lock, and stores what came of it: `result`
/// begins as `{entity, aspect}` and ends with the node's `version`.
[[nodiscard]] task<outcome> change_node(aspect_call& c, edit how);

/// The arguments that the aspect does not declare, without a composition's `input`: what the caller
/// names of the node's state.
[[nodiscard]] boost::json::object named_state(const aspect_call& c);

/// Appends to a list of the state, dropping its oldest beyond `most`.
void append(boost::json::object& state, std::string_view member, boost::json::value x,
            size_t most = 100);

/// The list there, empty when it is none.
[[nodiscard]] const boost::json::array& list_in(const boost::json::object& state,
                                                std::string_view member);

/// A text member; "" when it is none.
[[nodiscard]] std::string text_in(const boost::json::object& x, std::string_view member);

/// Who acts: the argument `who`, or the observer.
[[nodiscard]] std::string actor_of(const aspect_call& c);

/// Whether the caller may define nodes (agentese.md 14.1); an error says what is missing.
[[nodiscard]] std::optional<agentese::error> check_definer(const aspect_call& c);

/// Where `define` puts a node: below the call's, or at it when `name` is empty or its own. An error
/// for a name that is none, or a path that would be too long.
[[nodiscard]] std::variant<std::string, agentese::error> place_of(const aspect_call& c,
                                                                  std::string_view name);

// Aspects of both.

/// Adds `relation` → `target`, or lists what is related.
[[nodiscard]] task<outcome> relate_node(aspect_call& c);
/// Its result, for the tables.
inline constexpr std::string_view related_shape =
    "{source: string, target: string, relation: string, all_relations: object, related: [string]}"
    " | {handle: string, concept: string, related: [string], relations: object, note: string}";
/// Applies `changes` to the state as a merge patch.
[[nodiscard]] task<outcome> transform_node(aspect_call& c);

/// Handles that the node leads to, by any relation, each once.
[[nodiscard]] std::vector<std::string> related_to(const stored_node& node);

}  // namespace kgents::actors
