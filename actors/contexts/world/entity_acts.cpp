// What is done to an entity: each act changes its state as the caller says, and is remembered.

#include <algorithm>
#include <cstdint>

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/world/entity_aspects.hpp"

namespace kgents::actors::entity {

namespace json = boost::json;

namespace {

/// What the caller names besides the act's own arguments becomes part of the state.
json::object apply_named(const aspect_call& c, stored_node& node) {
  auto named = named_state(c);
  if (const auto* x = c.find("changes"); x != nullptr && x->is_object())
    merge_patch(named, x->get_object());
  merge_patch(node.state, named);
  return named;
}

/// Takes a text out of a list of the state; whether it was there.
bool take_out(json::object& state, std::string_view member, std::string_view x) {
  auto* list = state.if_contains(member);
  if (list == nullptr || !list->is_array())
    return false;
  auto& all = list->get_array();
  const auto at = std::find_if(all.begin(), all.end(),
                               [&](const auto& y) { return y.is_string() && y.get_string() == x; });
  if (at == all.end())
    return false;
  all.erase(at);
  return true;
}

bool put_in(json::object& state, std::string_view member, std::string_view x) {
  for (const auto& y : list_in(state, member))
    if (y.is_string() && y.get_string() == x)
      return false;
  append(state, member, json::value(x));
  return true;
}

/// How often, in an object of counters.
int64_t count_up(json::object& state, std::string_view member, std::string_view key,
                 int64_t by = 1) {
  auto& slot = state[member];
  if (!slot.is_object())
    slot = json::object{};
  auto& counter = slot.get_object()[key];
  // It is in the state, which the caller may set to anything.
  const auto was = counter.is_int64() ? counter.get_int64() : 0;
  const auto now = was > INT64_MAX - by ? INT64_MAX : was + by;
  counter = now;
  return now;
}

std::optional<outcome> renovate_edit(aspect_call& c, stored_node& node, json::object& result) {
  result["changes"] = apply_named(c, node);
  const auto count = count_up(node.state, "counts", "renovations");
  node.state["status"] = "renovated";
  result["status"] = "renovated";
  result["renovations"] = count;
  return std::nullopt;
}

std::optional<outcome> demolish_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto part = c.text("part");
  if (!part.empty()) {
    if (!node.state.contains(part))
      return json::object{{"entity", c.name()}, {"status", "not found"}, {"part", part}};
    node.state.erase(part);
    result["status"] = "demolished";
    result["part"] = part;
    return std::nullopt;
  }
  json::object gone;
  gone["status"] = "demolished";
  gone["integrity"] = 0.0;
  merge_patch(gone, named_state(c));
  node.state = std::move(gone);
  result["status"] = "demolished";
  return std::nullopt;
}

std::optional<outcome> repair_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto part = c.text("part");
  result["changes"] = apply_named(c, node);
  size_t repaired = 0;
  for (const std::string_view list : {"stress_points", "issues", "alerts", "damage"}) {
    auto* x = node.state.if_contains(list);
    if (x == nullptr || !x->is_array())
      continue;
    if (part.empty()) {
      repaired += x->get_array().size();
      x->get_array().clear();
    } else {
      repaired += take_out(node.state, list, part) ? 1 : 0;
    }
  }
  if (part.empty() || list_in(node.state, "stress_points").empty())
    node.state["integrity"] = 1.0;
  node.state["status"] = "active";
  result["status"] = "repaired";
  result["repaired"] = repaired;
  return std::nullopt;
}

std::optional<outcome> furnish_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto item = c.text("item");
  result["changes"] = apply_named(c, node);
  append(node.state, "furniture", json::value(item));
  result["status"] = "furnished";
  result["item"] = item;
  result["furniture"] = list_in(node.state, "furniture");
  return std::nullopt;
}

std::optional<outcome> use_edit(aspect_call& c, stored_node& node, json::object& result) {
  auto item = c.text("item");
  if (item.empty())
    item = std::string{c.name()};
  result["changes"] = apply_named(c, node);
  result["uses"] = count_up(node.state, "uses", item);
  result["status"] = "used";
  result["item"] = item;
  return std::nullopt;
}

std::optional<outcome> enter_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto who = actor_of(c);
  result["changes"] = apply_named(c, node);
  result["status"] = put_in(node.state, "occupants", who) ? "entered" : "already inside";
  result["who"] = who;
  result["occupants"] = list_in(node.state, "occupants");
  return std::nullopt;
}

std::optional<outcome> leave_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto who = actor_of(c);
  result["changes"] = apply_named(c, node);
  result["status"] = take_out(node.state, "occupants", who) ? "left" : "not inside";
  result["who"] = who;
  result["occupants"] = list_in(node.state, "occupants");
  return std::nullopt;
}

std::optional<outcome> inhabit_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto who = actor_of(c);
  result["changes"] = apply_named(c, node);
  result["status"] = put_in(node.state, "inhabitants", who) ? "inhabited" : "already at home";
  result["who"] = who;
  result["inhabitants"] = list_in(node.state, "inhabitants");
  return std::nullopt;
}

std::optional<outcome> configure_edit(aspect_call& c, stored_node& node, json::object& result) {
  auto wanted = named_state(c);
  if (const auto* x = c.find("config"); x != nullptr)
    merge_patch(wanted, x->get_object());
  if (wanted.empty())
    return c.missing("config required");
  auto& slot = node.state["config"];
  if (!slot.is_object())
    slot = json::object{};
  merge_patch(slot.get_object(), wanted);
  result["status"] = "configured";
  result["changes"] = std::move(wanted);
  result["config"] = slot;
  return std::nullopt;
}

std::optional<outcome> provision_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto resource = c.text("resource");
  result["changes"] = apply_named(c, node);
  result["provisioned"] = count_up(node.state, "provisioned", resource, c.integer("amount"));
  result["status"] = "provisioned";
  result["resource"] = resource;
  return std::nullopt;
}

std::optional<outcome> experiment_edit(aspect_call& c, stored_node& node, json::object& result) {
  const auto hypothesis = c.text("hypothesis");
  append(node.state, "experiments",
         json::object{{"hypothesis", hypothesis},
                      {"result", "pending"},
                      {"by", c.who().id},
                      {"timestamp", c.now_text()}});
  result["hypothesis"] = hypothesis;
  result["result"] = "pending";
  return std::nullopt;
}

}  // namespace

task<outcome> define(aspect_call& c) {
  auto refused = check_definer(c);
  if (refused)
    co_return std::move(*refused);
  const auto place = place_of(c, c.text("name"));
  if (const auto* wrong = std::get_if<1>(&place))
    co_return *wrong;
  const auto path = std::get<0>(place);
  if (path != c.node() && c.asked().strict) {
    const auto parent = co_await node_store::load(c, c.node());
    if (parent == nullptr)
      co_return agentese::errors::node_not_registered(c.node(), c.similar());
  }
  const auto held = co_await node_store::lock(c, path);
  auto node = co_await editable(c, path);
  const bool fresh = node.version == 0;
  if (c.has("spec"))
    node.definition["spec"] = c.text("spec");
  if (c.has("entity_type"))
    node.entity_type = c.text("entity_type");
  if (const auto* state = c.find("state"); state != nullptr)
    merge_patch(node.state, state->get_object());
  remember(node, c);
  json::object change{{"defined", path}, {"entity_type", node.entity_type}};
  const auto saved = co_await node_store::save(c, std::move(node), std::move(change));
  co_return json::object{{"handle", path},
                         {"entity_type", saved->entity_type},
                         {"spec", text_in(saved->definition, "spec")},
                         {"status", fresh ? "defined" : "redefined"},
                         {"version", saved->version}};
}

task<outcome> demolish(aspect_call& c) {
  if (!c.flag("forget")) {
    auto out = co_await change_node(c, demolish_edit);
    co_return std::move(out);
  }
  const auto held = co_await node_store::lock(c, c.node());
  json::object change{{"status", "forgotten"}};
  const auto was = co_await node_store::remove(c, c.node(), std::move(change));
  co_return json::object{{"entity", c.name()},
                         {"aspect", c.asked().aspect},
                         {"status", was ? "forgotten" : "not found"}};
}

task<outcome> renovate(aspect_call& c) {
  auto out = co_await change_node(c, renovate_edit);
  co_return std::move(out);
}
task<outcome> repair(aspect_call& c) {
  auto out = co_await change_node(c, repair_edit);
  co_return std::move(out);
}
task<outcome> furnish(aspect_call& c) {
  auto out = co_await change_node(c, furnish_edit);
  co_return std::move(out);
}
task<outcome> use(aspect_call& c) {
  auto out = co_await change_node(c, use_edit);
  co_return std::move(out);
}
task<outcome> enter(aspect_call& c) {
  auto out = co_await change_node(c, enter_edit);
  co_return std::move(out);
}
task<outcome> leave(aspect_call& c) {
  auto out = co_await change_node(c, leave_edit);
  co_return std::move(out);
}
task<outcome> inhabit(aspect_call& c) {
  auto out = co_await change_node(c, inhabit_edit);
  co_return std::move(out);
}
task<outcome> configure(aspect_call& c) {
  auto out = co_await change_node(c, configure_edit);
  co_return std::move(out);
}
task<outcome> provision(aspect_call& c) {
  auto out = co_await change_node(c, provision_edit);
  co_return std::move(out);
}
task<outcome> experiment(aspect_call& c) {
  auto out = co_await change_node(c, experiment_edit);
  co_return std::move(out);
}

}  // namespace kgents::actors::entity
