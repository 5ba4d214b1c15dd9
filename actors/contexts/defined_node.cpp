#include "actors/contexts/defined_node.hpp"

#include <algorithm>

namespace kgents::actors {

namespace json = boost::json;

namespace {

/// What one node leads to, all relations together.
constexpr size_t most_relations = 1000;

json::array array_of(const std::vector<std::string>& x) {
  json::array out;
  for (const auto& y : x)
    out.emplace_back(y);
  return out;
}

/// The first so many: what is told of a change stays small.
json::array keys_of(const json::object& x) {
  constexpr size_t most = 32;
  json::array out;
  for (const auto& [name, value] : x)
    if (out.size() < most)
      out.emplace_back(name);
  return out;
}

}  // namespace

task<resolution> resolve_stored(aspect_call& c) {
  if (c.asked().aspect == "define")
    co_return resolution{true, {}};
  const auto node = co_await node_store::load(c, c.node());
  co_return resolution{node != nullptr, {}};
}

task<stored_node> editable(aspect_call& c, std::string path) {
  const auto node = co_await node_store::load(c, path);
  if (node != nullptr)
    co_return stored_node{*node};
  stored_node fresh;
  fresh.path = std::move(path);
  co_return std::move(fresh);
}

task<node_ptr> explored(aspect_call& c) {
  auto node = co_await node_store::load(c, c.node());
  if (node == nullptr) {
    auto fresh = std::make_shared<stored_node>();
    fresh->path = c.node();
    node = std::move(fresh);
  }
  co_return std::move(node);
}

task<outcome> change_node(aspect_call& c, edit how) {
  const auto held = co_await node_store::lock(c, c.node());
  auto node = co_await editable(c, c.node());
  json::object result{{"entity", c.name()}, {"aspect", c.asked().aspect}};
  auto ends = how(c, node, result);
  if (ends)
    co_return std::move(*ends);
  remember(node, c);
  json::object change;
  if (const auto* x = result.if_contains("changes"); x != nullptr && x->is_object())
    change["changed"] = keys_of(x->get_object());
  if (const auto* x = result.if_contains("status"))
    change["status"] = *x;
  const auto saved = co_await node_store::save(c, std::move(node), std::move(change));
  result["version"] = saved->version;
  co_return std::move(result);
}

json::object named_state(const aspect_call& c) {
  json::object out;
  const auto declared = c.aspect().spec->args;
  for (const auto& [name, x] : c.args()) {
    const bool known = std::any_of(declared.begin(), declared.end(),
                                   [&](const auto& a) { return a.name == std::string_view{name}; });
    if (!known && name != "input" && name != "subpath")
      out[name] = x;
  }
  return out;
}

void append(json::object& state, std::string_view member, json::value x, size_t most) {
  auto& slot = state[member];
  if (!slot.is_array())
    slot = json::array{};
  auto& list = slot.get_array();
  while (list.size() >= most)
    list.erase(list.begin());
  list.emplace_back(std::move(x));
}

const json::array& list_in(const json::object& state, std::string_view member) {
  static const json::array none;
  const auto* x = state.if_contains(member);
  return x != nullptr && x->is_array() ? x->get_array() : none;
}

std::string text_in(const json::object& x, std::string_view member) {
  const auto* y = x.if_contains(member);
  return y != nullptr && y->is_string() ? std::string{y->get_string()} : std::string{};
}

std::string actor_of(const aspect_call& c) {
  auto who = c.text("who");
  return who.empty() ? c.who().id : who;
}

std::optional<agentese::error> check_definer(const aspect_call& c) {
  if (c.asked().internal)
    return std::nullopt;
  constexpr std::string_view definers[] = {"architect", "developer", "admin"};
  auto archetype = c.who().archetype;
  for (auto& x : archetype)
    if (x >= 'A' && x <= 'Z')
      x = static_cast<char>(x + 32);
  const auto& granted = c.who().capabilities;
  if (std::find(std::begin(definers), std::end(definers), archetype) != std::end(definers) ||
      std::find(granted.begin(), granted.end(), "define") != granted.end())
    return std::nullopt;
  auto out = agentese::errors::capability_required(c.full_path(), "define");
  out.why = "Only an architect, developer or admin defines without the capability.";
  return out;
}

std::variant<std::string, agentese::error> place_of(const aspect_call& c, std::string_view name) {
  if (name.empty() || name == c.name())
    return c.node();
  const auto path = c.node() + "." + std::string{name};
  const auto wrong = [&](std::string why) {
    return agentese::errors::invalid_argument(c.full_path(), "name", std::move(why));
  };
  if (!agentese::is_identifier(name))
    return wrong("name must be lower-case letters, digits and _, a letter first");
  // One segment is left for an aspect.
  if (const auto parsed = agentese::parse_path(path, agentese::needs::node);
      parsed.index() != 0 || std::get<0>(parsed).segments >= agentese::max_segments)
    return wrong("the path of the new node would be too long");
  return path;
}

std::vector<std::string> related_to(const stored_node& node) {
  std::vector<std::string> out;
  for (const auto& [relation, targets] : node.relations)
    if (targets.is_array())
      for (const auto& x : targets.get_array())
        if (x.is_string() && std::find(out.begin(), out.end(), x.get_string()) == out.end())
          out.emplace_back(x.get_string());
  return out;
}

task<outcome> relate_node(aspect_call& c) {
  const auto target = c.text("target");
  const auto relation = c.text("relation");
  if (target.empty()) {
    const auto node = co_await explored(c);
    const auto related = related_to(*node);
    co_return json::object{{"handle", c.node()},
                           {"concept", c.name()},
                           {"related", array_of(related)},
                           {"relations", node->relations},
                           {"note", related.empty() ? "Nothing is related yet; name a target."
                                                    : "Name a target to relate something else."}};
  }
  const auto held = co_await node_store::lock(c, c.node());
  auto node = co_await editable(c, c.node());
  if (related_to(node).size() >= most_relations)
    co_return agentese::errors::invalid_argument(
        c.full_path(), "target",
        "a node leads to at most " + std::to_string(most_relations) + " others");
  auto& slot = node.relations[relation];
  if (!slot.is_array())
    slot = json::array{};
  auto& targets = slot.get_array();
  const bool known = std::any_of(targets.begin(), targets.end(), [&](const auto& x) {
    return x.is_string() && x.get_string() == target;
  });
  json::object result{{"source", c.node()}, {"target", target}, {"relation", relation}};
  if (!known) {
    targets.emplace_back(target);
    json::object change{{"relation", relation}, {"target", target}};
    remember(node, c, change);
    const auto saved = co_await node_store::save(c, std::move(node), std::move(change));
    result["all_relations"] = saved->relations;
    result["related"] = array_of(related_to(*saved));
    co_return std::move(result);
  }
  result["all_relations"] = node.relations;
  result["related"] = array_of(related_to(node));
  co_return std::move(result);
}

task<outcome> transform_node(aspect_call& c) {
  const auto* given = c.find("changes");
  auto changes = given != nullptr ? given->get_object() : named_state(c);
  if (given == nullptr && changes.empty())
    co_return c.missing("changes required");
  const auto held = co_await node_store::lock(c, c.node());
  auto node = co_await editable(c, c.node());
  merge_patch(node.state, changes);
  const auto names = keys_of(changes);
  json::object act{{"changed", names}};
  remember(node, c, act);
  json::object change{{"changed", names}, {"changes", changes}};
  const auto saved = co_await node_store::save(c, std::move(node), std::move(change));
  co_return json::object{{"transformed", true},
                         {"changes", std::move(changes)},
                         {"handle", c.node()},
                         {"version", saved->version}};
}

}  // namespace kgents::actors
