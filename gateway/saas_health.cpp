#include "gateway/saas_health.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace kgents::gateway {

namespace json = boost::json;

namespace {

json::object account_of(const saas_parts::part& x) {
  return x ? x() : json::object{{"configured", false}, {"status", "disabled"}};
}

std::string_view status_of(const json::object& x) { return x.at("status").as_string(); }

}  // namespace

json::object saas_health(const saas_parts& parts) {
  std::array<std::pair<std::string_view, json::object>, 4> all{
      {{"openmeter", account_of(parts.openmeter)},
       {"nats", account_of(parts.nats)},
       {"stripe", account_of(parts.stripe)},
       {"redis", account_of(parts.redis)}}};
  const bool started = std::any_of(all.begin(), all.end(), [](const auto& x) {
    return status_of(x.second) != "disabled" && status_of(x.second) != "not_started";
  });
  const bool well = std::all_of(all.begin(), all.end(), [](const auto& x) {
    return !x.second.at("configured").as_bool() || status_of(x.second) == "healthy";
  });
  json::object out{{"status", !started ? "not_started" : well ? "ok" : "degraded"},
                   {"started", started}};
  for (auto& [name, account] : all)
    out[name] = std::move(account);
  return out;
}

}  // namespace kgents::gateway
