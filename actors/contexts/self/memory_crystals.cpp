// self.memory: working contexts that are put aside and taken up again.

#include <boost/json/serialize.hpp>

#include "actors/contexts/self/crystal.hpp"
#include "actors/contexts/self/limits.hpp"
#include "actors/contexts/self/memory_aspects.hpp"
#include "actors/contexts/time/instant.hpp"
#include "actors/own_json.hpp"
#include "sql/agentese_crystals.hpp"

namespace kgents::actors::self_memory {

namespace json = boost::json;

namespace {

/// A result, as the node has it for what an argument names and is not there.
json::object no_such_crystal(std::string_view id) {
  return {{"error", "crystal not found: " + std::string{id.substr(0, 64)}}};
}

json::object shown(const sql::crystal_end& x) {
  return {{"crystal_id", x.id.text()}, {"task_id", x.task_id}, {"expires_at", x.expires_at}};
}

/// Null where there is none, and a context may have any shape.
json::value optional_text(const std::optional<crystal_id>& x) {
  return x ? json::value(x->text()) : json::value{};
}

}  // namespace

task<outcome> crystallize_window(aspect_call& c) {
  sql::crystal x;
  if (c.has("parent_crystal_id")) {
    x.parent = crystal_id::parse(c.text("parent_crystal_id"));
    if (!x.parent)
      co_return no_such_crystal(c.text("parent_crystal_id"));
    auto look = sql::agentese_crystals::get(c.tenant(), *x.parent);
    const auto parent = co_await c.read(std::move(look));
    if (!parent)
      co_return no_such_crystal(x.parent->text());
  }
  auto count = sql::agentese_crystals::count(c.tenant());
  const auto there = co_await c.read(std::move(count));
  if (there >= self_limits::crystals)
    co_return self_limits::reached(c, "crystals", self_limits::crystals,
                                   "reap what has expired, or uncherish some");
  auto window = crystallize(*c.find("context_window"));
  x.id = crystal_id{uuid::random()};
  x.agent = c.who().id;
  x.task_id = c.text("task_id");
  x.task_description = c.text("task_description");
  x.task_status = c.text("task_status");
  x.progress = c.number("progress");
  x.window = json::serialize(window.preserved);
  const auto* memory = c.find("working_memory");
  x.working_memory = memory != nullptr ? json::serialize(*memory) : "{}";
  x.summary = std::move(window.summary);
  x.preserved = static_cast<uint32_t>(window.preserved.size());
  x.dropped = window.dropped;
  const auto ttl = static_cast<int64_t>(c.number("ttl_hours") * 3'600);
  auto query = sql::agentese_crystals::create(c.tenant(), x, ttl);
  json::object change{{"crystallized", x.id.text()}, {"task_id", x.task_id}};
  const auto expires_at = co_await c.write(std::move(query), std::move(change));
  co_return json::object{{"status", "crystallized"},   {"crystal_id", x.id.text()},
                         {"agent", x.agent},           {"preserved_count", x.preserved},
                         {"dropped_count", x.dropped}, {"summary_length", x.summary.size()},
                         {"expires_at", expires_at},   {"pinned", false}};
}

task<outcome> resume(aspect_call& c) {
  const auto text = c.text("crystal_id");
  const auto id = crystal_id::parse(text);
  if (!id)
    co_return no_such_crystal(text);
  auto query = sql::agentese_crystals::get(c.tenant(), *id);
  const auto x = co_await c.read(std::move(query));
  if (!x)
    co_return no_such_crystal(text);
  const auto preserved = parse_own(x->window);
  auto back = restore(preserved.as_array(), static_cast<uint64_t>(c.integer("max_tokens")));
  co_return json::object{{"status", "resumed"},
                         {"crystal_id", x->id.text()},
                         {"agent", x->agent},
                         {"task",
                          {{"id", x->task_id},
                           {"description", x->task_description},
                           {"status", x->task_status},
                           {"progress", x->progress}}},
                         {"window", std::move(back.window)},
                         {"tokens", back.tokens},
                         {"truncated", back.truncated},
                         {"summary", x->summary},
                         {"dropped_count", x->dropped},
                         {"working_memory", parse_own(x->working_memory)},
                         {"parent_crystal_id", optional_text(x->parent)},
                         {"created_at", x->created_at},
                         {"expires_at", x->expires_at},
                         {"pinned", x->pinned}};
}

task<outcome> cherish(aspect_call& c) {
  const auto text = c.text("crystal_id");
  const bool pinned = !c.flag("uncherish");
  const auto id = crystal_id::parse(text);
  if (!id)
    co_return no_such_crystal(text);
  auto look = sql::agentese_crystals::get(c.tenant(), *id);
  const auto there = co_await c.read(std::move(look));
  bool done = false;
  if (there) {
    auto query = sql::agentese_crystals::pin(c.tenant(), *id, pinned);
    json::object change{{"crystal_id", id->text()}, {"pinned", pinned}};
    const auto changed = co_await c.write(std::move(query), std::move(change));
    done = changed;
  }
  if (!done)
    co_return no_such_crystal(text);
  co_return json::object{{"status", pinned ? "cherished" : "uncherished"},
                         {"crystal_id", id->text()},
                         {"pinned", pinned}};
}

task<outcome> reap(aspect_call& c) {
  auto query = sql::agentese_crystals::reap(c.tenant(), self_limits::reaped_at_once);
  const auto done = co_await c.write(std::move(query));
  json::array events;
  for (const auto& x : done.gone) {
    auto event = shown(x);
    event["event"] = "expired";
    events.emplace_back(std::move(event));
  }
  co_return json::object{{"reaped", done.gone.size()},
                         {"events", std::move(events)},
                         {"allocations_remaining", done.left}};
}

task<outcome> expiring_soon(aspect_call& c) {
  const auto span = parse_duration(c.text("threshold"));
  if (!span)
    co_return agentese::errors::invalid_argument(
        c.full_path(), "threshold", "threshold must be a time like 90s, 30m, 1h or 2d");
  auto query =
      sql::agentese_crystals::expiring(c.tenant(), span->count(), self_limits::reaped_at_once);
  const auto found = co_await c.read(std::move(query));
  json::array expiring;
  for (const auto& x : found) {
    auto one = shown(x);
    one["seconds_left"] = x.seconds_left;
    expiring.emplace_back(std::move(one));
  }
  const auto count = expiring.size();
  co_return json::object{
      {"threshold_seconds", span->count()}, {"expiring", std::move(expiring)}, {"count", count}};
}

}  // namespace kgents::actors::self_memory
