// self.state, self.capabilities and self.identity: what this self is and can.

#include <boost/json/serialize.hpp>

#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/nodes.hpp"
#include "actors/contexts/self/self_store.hpp"
#include "actors/own_json.hpp"
#include "sql/agentese_self.hpp"

namespace kgents::actors::self_nodes {

namespace json = boost::json;

namespace {

using enum aspect_category;
using enum argument_type;

constexpr std::string_view capabilities_name = "capabilities";

task<json::array> capabilities_of(aspect_call& c) {
  auto stored = co_await self_store::load(c, std::string{capabilities_name});
  if (!stored.is_array())
    co_return json::array{};
  co_return std::move(stored.get_array());
}

task<outcome> list_capabilities(aspect_call& c) {
  auto all = co_await capabilities_of(c);
  const auto count = all.size();
  co_return json::object{{"capabilities", std::move(all)}, {"count", count}};
}

task<outcome> acquire(aspect_call& c) {
  const json::value wanted(c.text("capability"));
  const auto held = co_await c.lock("self:capabilities");
  auto all = co_await capabilities_of(c);
  const auto before_text = [](const json::value& a, const json::value& b) {
    return a.as_string() < b.as_string();
  };
  const auto at = std::lower_bound(all.begin(), all.end(), wanted, before_text);
  if (at == all.end() || *at != wanted) {
    if (all.size() >= self_limits::capabilities)
      co_return self_limits::reached(c, "capabilities", self_limits::capabilities,
                                     "release some first");
    all.insert(at, wanted);
    json::object change{{"acquired", wanted}};
    const auto full =
        co_await self_store::save(c, std::string{capabilities_name}, all, std::move(change));
    if (full)
      co_return *full;
  }
  co_return json::object{{"acquired", wanted}, {"total", all.size()}};
}

task<outcome> release(aspect_call& c) {
  const json::value wanted(c.text("capability"));
  const auto held = co_await c.lock("self:capabilities");
  auto all = co_await capabilities_of(c);
  const auto at = std::find(all.begin(), all.end(), wanted);
  if (at == all.end())
    co_return json::object{{"error", "capability not found"}};
  all.erase(at);
  json::object change{{"released", wanted}};
  const auto full =
      co_await self_store::save(c, std::string{capabilities_name}, all, std::move(change));
  if (full)
    co_return *full;
  co_return json::object{{"released", wanted}, {"total", all.size()}};
}

task<json::object> present_state(aspect_call& c) {
  auto query = sql::agentese_self::state(c.tenant());
  const auto all = co_await c.read(std::move(query));
  json::object out;
  for (const auto& [name, value] : all)
    out[name] = parse_own(value);
  co_return out;
}

task<outcome> inspect_state(aspect_call& c) {
  const auto state = co_await present_state(c);
  if (c.has("key")) {
    const auto key = c.text("key");
    const auto* x = state.if_contains(key);
    co_return json::object{
        {"key", key}, {"value", x != nullptr ? *x : json::value{}}, {"found", x != nullptr}};
  }
  auto query = sql::agentese_self::checkpoints(c.tenant(), "state");
  const auto taken = co_await c.read(std::move(query));
  json::array snapshots;
  for (const auto& x : taken)
    snapshots.emplace_back(json::object{{"label", x.label}, {"timestamp", x.taken_at}});
  co_return json::object{{"state", state}, {"snapshots", std::move(snapshots)}};
}

task<outcome> checkpoint_state(aspect_call& c) {
  const auto state = co_await present_state(c);
  auto query = sql::agentese_self::add_checkpoint(c.tenant(), "state", c.text("label"), "snapshot_",
                                                  json::serialize(state), self_limits::checkpoints);
  json::object change{{"names", state.size()}};
  const auto made = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"timestamp", made.taken_at}, {"state", state}, {"label", made.label}};
}

/// Negative indices count from the newest, as -1 is.
task<outcome> restore_state(aspect_call& c) {
  auto look = sql::agentese_self::checkpoints(c.tenant(), "state");
  const auto all = co_await c.read(std::move(look));
  if (all.empty())
    co_return json::object{{"error", "no snapshots available"}};
  const auto index = c.integer("index");
  const auto n = static_cast<int64_t>(all.size());
  if (index >= n || index < -n)
    co_return agentese::errors::invalid_argument(c.full_path(), "index",
                                                 "index " + std::to_string(index) +
                                                     " is out of range: there are " +
                                                     std::to_string(n) + " snapshots");
  const auto& wanted = all[static_cast<size_t>(index < 0 ? n + index : index)];
  auto read = sql::agentese_self::checkpoint(c.tenant(), "state", wanted.number);
  const auto found = co_await c.read(std::move(read));
  if (!found)
    co_return json::object{{"error", "no snapshots available"}};
  auto query = sql::agentese_self::replace_state(c.tenant(), found->content);
  json::object change{{"restored", found->label}};
  co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"restored", found->label}, {"timestamp", found->taken_at}};
}

task<outcome> reflect(aspect_call& c) {
  auto all = co_await capabilities_of(c);
  const auto& who = c.who();
  auto text = "I am " + who.id + ", seen as " + who.archetype + ", with ";
  text += all.empty() ? "no capabilities of my own yet."
                      : std::to_string(all.size()) +
                            (all.size() == 1 ? " capability: " : " capabilities: ");
  for (size_t i = 0; i < all.size() && i < 8; ++i)
    text.append(i == 0 ? "" : ", ").append(all[i].as_string());
  if (!all.empty())
    text += all.size() > 8 ? ", …" : ".";
  co_return json::object{{"name", who.id},
                         {"archetype", who.archetype},
                         {"capabilities", std::move(all)},
                         {"reflection", text}};
}

task<outcome> evolve(aspect_call& c) {
  agentese::refused out;
  out.path = c.full_path();
  out.reason = "An identity is not changed by decree: refine what it does, and it follows.";
  out.appeal_to = "self.judgment.refine";
  co_return out;
}

constexpr argument capability_args[] = {{.name = "capability", .required = true, .max_bytes = 200}};
constexpr argument label_args[] = {{.name = "label", .max_bytes = 200}};
constexpr argument index_args[] = {{.name = "index",
                                    .type = integer,
                                    .default_json = "-1",
                                    .meaning = "from 0, or from the newest with -1"}};
constexpr argument key_args[] = {{.name = "key", .max_bytes = 300}};

constexpr aspect_spec capability_aspects[] = {
    {.name = "list",
     .run = list_capabilities,
     .help = "The capabilities that were acquired, sorted.",
     .returns = "{capabilities: [string], count: integer}",
     .effects = "reads:capabilities"},
    {.name = "acquire",
     .category = mutation,
     .run = acquire,
     .help = "Adds a capability.",
     .args = capability_args,
     .returns = "{acquired: string, total: integer}",
     .effects = "writes:capabilities",
     .example = R"({"capability":"sailing"})",
     .idempotent = true},
    {.name = "release",
     .category = mutation,
     .run = release,
     .help = "Gives a capability up.",
     .args = capability_args,
     .returns = "{released: string, total: integer} | {error: string}",
     .effects = "deletes:capabilities",
     .example = R"({"capability":"sailing"})"},
};

constexpr aspect_spec state_aspects[] = {
    {.name = "checkpoint",
     .category = generation,
     .run = checkpoint_state,
     .help = "Keeps the present state under a label.",
     .args = label_args,
     .returns = "{timestamp: string, state: object, label: string}",
     .effects = "reads:state, writes:state"},
    {.name = "restore",
     .category = mutation,
     .run = restore_state,
     .help = "Goes back to a checkpoint.",
     .args = index_args,
     .returns = "{restored: string, timestamp: string} | {error: string}",
     .effects = "writes:state"},
    {.name = "inspect",
     .run = inspect_state,
     .help = "The present state, or one part of it.",
     .args = key_args,
     .returns = "{state: object, snapshots: [object]} | {key: string, value: any, found: boolean}",
     .effects = "reads:state"},
};

constexpr aspect_spec identity_aspects[] = {
    {.name = "reflect",
     .run = reflect,
     .help = "Who this is, to this observer.",
     .returns = "{name: string, archetype: string, capabilities: [string], reflection: string}",
     .effects = "reads:capabilities"},
    {.name = "evolve",
     .category = mutation,
     .run = evolve,
     .help = "Is refused: what changes an identity is refinement.",
     .effects = "writes:identity"},
};

}  // namespace

void register_state(registry& to) {
  static constexpr node_spec nodes[] = {
      {.path = "self.capabilities",
       .description = "What this self has acquired.",
       .aspects = capability_aspects,
       .common = "*"},
      {.path = "self.state",
       .description = "What this self keeps of itself, with checkpoints.",
       .aspects = state_aspects,
       .common = "*"},
      {.path = "self.identity",
       .description = "Who this self is.",
       .aspects = identity_aspects,
       .common = "*"},
  };
  to.add(nodes);
}

}  // namespace kgents::actors::self_nodes
