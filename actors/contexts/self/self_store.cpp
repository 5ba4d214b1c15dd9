#include "actors/contexts/self/self_store.hpp"

#include <boost/json/serialize.hpp>

#include "actors/contexts/self/limits.hpp"
#include "actors/own_json.hpp"
#include "sql/agentese_self.hpp"

namespace kgents::actors::self_store {

namespace json = boost::json;

task<json::value> load(aspect_call& c, std::string name) {
  auto query = sql::agentese_self::get(c.tenant(), name);
  const auto stored = co_await c.read(std::move(query));
  if (!stored)
    co_return json::value{};
  co_return parse_own(*stored);
}

task<std::optional<agentese::error>> save(aspect_call& c, std::string name, json::value value,
                                          json::object change) {
  auto look = sql::agentese_self::room(c.tenant(), name);
  const auto room = co_await c.read(std::move(look));
  if (!room.value && room.count >= self_limits::names)
    co_return self_limits::reached(c, "names", self_limits::names,
                                   "use a name that exists already");
  const auto text = json::serialize(value);
  if (room.bytes + text.size() > self_limits::state_bytes)
    co_return self_limits::reached(c, "bytes of state", self_limits::state_bytes,
                                   "expect less, or release capabilities");
  auto query = sql::agentese_self::put(c.tenant(), name, text);
  co_await c.write(std::move(query), std::move(change));
  co_return std::nullopt;
}

}  // namespace kgents::actors::self_store
