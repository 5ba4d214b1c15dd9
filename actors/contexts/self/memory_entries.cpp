// self.memory: what is remembered by key.

#include <boost/json/serialize.hpp>

#include "actors/contexts/self/crystal.hpp"
#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/memory_aspects.hpp"
#include "actors/own_json.hpp"
#include "sql/agentese_memory.hpp"
#include "sql/agentese_self.hpp"

namespace kgents::actors::self_memory {

namespace json = boost::json;

namespace {

json::array texts(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

/// In a composition the stage before gives what this one is about.
std::string query_of(const aspect_call& c) {
  return c.has("query") || c.has("key") ? c.text("query") : c.text("input");
}

}  // namespace

task<outcome> recall(aspect_call& c) {
  if (c.has("key")) {
    const auto key = c.text("key");
    auto query = sql::agentese_memory::get(c.tenant(), key);
    const auto value = co_await c.read(std::move(query));
    if (!value)
      co_return json::object{{"not_found", key}};
    co_return outcome{parse_own(*value)};
  }
  if (const auto what = query_of(c); !what.empty()) {
    auto query = sql::agentese_memory::search(c.tenant(), what, self_limits::matches);
    const auto found = co_await c.read(std::move(query));
    json::array matches;
    for (const auto& x : found)
      matches.emplace_back(json::array{json::value(x.key), parse_own(x.value)});
    co_return json::object{{"query", what}, {"matches", std::move(matches)}};
  }
  auto query = sql::agentese_memory::keys(c.tenant(), self_limits::listed_keys);
  const auto all = co_await c.read(std::move(query));
  co_return json::object{{"memories", texts(all.keys)}};
}

task<outcome> forget(aspect_call& c) {
  const auto key = c.text("key");
  auto look = sql::agentese_memory::get(c.tenant(), key);
  const auto there = co_await c.read(std::move(look));
  bool removed = false;
  if (there) {
    auto query = sql::agentese_memory::remove(c.tenant(), key);
    json::object change{{"forgotten", key}};
    const auto gone = co_await c.write(std::move(query), std::move(change));
    removed = gone;
  }
  if (!removed)
    co_return json::object{{"status", "not found"}, {"key", key}};
  co_return json::object{{"forgotten", key}, {"status", "removed"}};
}

task<outcome> consolidate(aspect_call& c) {
  auto query = sql::agentese_memory::consolidate(c.tenant());
  const auto done = co_await c.write(std::move(query));
  co_return json::object{{"consolidated", done.changed},
                         {"total_memories", done.left},
                         {"status", "consolidation complete"}};
}

task<outcome> prune(aspect_call& c) {
  const auto threshold = c.number("threshold");
  auto query = sql::agentese_memory::prune(c.tenant(), threshold);
  json::object change{{"threshold", threshold}};
  const auto done = co_await c.write(std::move(query), std::move(change));
  co_return json::object{
      {"pruned", done.changed}, {"remaining", done.left}, {"threshold", threshold}};
}

task<outcome> checkpoint(aspect_call& c) {
  auto look = sql::agentese_memory::keys(c.tenant(), self_limits::checkpoint_keys);
  const auto now = co_await c.read(std::move(look));
  const json::object content{{"keys", texts(now.keys)}, {"count", now.total}};
  auto query =
      sql::agentese_self::add_checkpoint(c.tenant(), "memory", c.text("label"), "checkpoint_",
                                         json::serialize(content), self_limits::checkpoints);
  json::object change{{"memory_count", now.total}};
  const auto made = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"timestamp", made.taken_at},
                         {"memory_count", now.total},
                         {"keys", texts(now.keys)},
                         {"label", made.label}};
}

task<outcome> engram(aspect_call& c) {
  const auto* data = c.find("data");
  if (data == nullptr)
    data = c.find("input");
  if (data == nullptr)
    co_return c.missing("key and data required");
  sql::new_memory memory;
  memory.key = c.text("key");
  // A composition hands over a value without a name.
  if (memory.key.empty() && c.has("input"))
    memory.key = key_for(*data);
  memory.subdirectory = c.text("subdirectory");
  if (memory.key.empty())
    co_return c.missing("key and data required");
  const bool in_place = memory.subdirectory.empty() || is_memory_key(memory.subdirectory);
  if (!is_memory_key(memory.key) || !in_place)
    co_return agentese::errors::invalid_argument(
        c.full_path(), in_place ? "key" : "subdirectory",
        "a key consists of letters, digits and _ . / -, is relative, has no '..' and at most " +
            std::to_string(most_key_bytes) + " characters");
  memory.value = json::serialize(*data);
  if (memory.value.size() > self_limits::memory_bytes)
    co_return agentese::errors::invalid_argument(
        c.full_path(), "data",
        "data is larger than " + std::to_string(self_limits::memory_bytes) + " bytes");
  memory.content = data->is_string() ? std::string{data->get_string()} : memory.value;
  memory.relevance = c.number("relevance");
  memory.temporary = c.flag("temporary");
  auto look = sql::agentese_memory::room(c.tenant(), memory.key);
  const auto room = co_await c.read(std::move(look));
  if (!room.exists && room.count >= self_limits::memories)
    co_return self_limits::reached(c, "memories", self_limits::memories,
                                   "forget or prune some first");
  bool stored = false;
  if (!room.of_another_agent) {
    auto query = sql::agentese_memory::put(c.tenant(), memory);
    json::object change{{"engrammed", memory.key}};
    const auto kept = co_await c.write(std::move(query), std::move(change));
    stored = kept;
  }
  if (!stored)
    co_return agentese::errors::invalid_argument(
        c.full_path(), "key", "the key '" + memory.key + "' is a memory of another agent");
  co_return json::object{{"status", "engrammed"}, {"key", memory.key}};
}

}  // namespace kgents::actors::self_memory
