#include "actors/contexts/time/state_changes.hpp"

#include <algorithm>
#include <cmath>

namespace kgents::actors {

namespace json = boost::json;

namespace {

constexpr size_t most_stretches = 12;
constexpr double second_us = 1e6;

const json::object& members_of(const json::value& x) {
  static const json::object none;
  return x.is_object() ? x.get_object() : none;
}

}  // namespace

json::object changes_between(const json::value& before, const json::value& after) {
  const auto& old = members_of(before);
  const auto& now = members_of(after);
  json::object added;
  json::object removed;
  json::object modified;
  for (const auto& [name, value] : now) {
    const auto* was = old.if_contains(name);
    if (was == nullptr)
      added[name] = value;
    else if (*was != value)
      modified[name] = json::object{{"old", *was}, {"new", value}};
  }
  for (const auto& [name, value] : old)
    if (!now.contains(name))
      removed[name] = value;
  return {{"added", std::move(added)},
          {"removed", std::move(removed)},
          {"modified", std::move(modified)}};
}

std::map<std::string, std::vector<observation>> series_of(const std::vector<past_state>& states) {
  std::map<std::string, std::vector<observation>> out;
  for (const auto& x : states) {
    for (const auto& [name, value] : members_of(x.state)) {
      if (!value.is_number())
        continue;
      const std::string key{name};
      if (out.size() == most_series && !out.contains(key))
        continue;
      out[key].push_back({x.at, value.to_number<double>()});
    }
  }
  return out;
}

std::vector<observation> activity_of(const std::vector<int64_t>& times, int64_t now) {
  std::vector<observation> out;
  if (times.size() < least_observations)
    return out;
  const auto first = *std::min_element(times.begin(), times.end());
  const auto span = static_cast<double>(now - first) / second_us;
  const auto stretches = std::min(most_stretches, static_cast<size_t>(std::max(span, 0.0)));
  if (stretches < least_observations)
    return out;
  const auto length = span / static_cast<double>(stretches);
  for (size_t i = 0; i < stretches; ++i)
    out.push_back({(static_cast<double>(i) + 0.5) * length, 0});
  for (const auto time : times) {
    const auto at = static_cast<double>(time - first) / second_us / length;
    out[std::min(static_cast<size_t>(at), stretches - 1)].value += 3600 / length;
  }
  return out;
}

}  // namespace kgents::actors
