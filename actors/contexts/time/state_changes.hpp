#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <vector>

#include "actors/contexts/time/trend.hpp"

namespace kgents::actors {

/// `{added: {name: value}, removed: {name: value}, modified: {name: {old, new}}}` of the members of
/// two states; null counts as a state without members.
[[nodiscard]] boost::json::object changes_between(const boost::json::value& before,
                                                  const boost::json::value& after);

/// A state that something had at a time, in seconds.
struct past_state {
  double at = 0;
  boost::json::value state;
};

/// Members that are followed at once.
inline constexpr size_t most_series = 32;

/// The numeric members of states over time. Members of members are not looked at.
[[nodiscard]] std::map<std::string, std::vector<observation>> series_of(
    const std::vector<past_state>& states);

/// How often something happened, per hour, in up to twelve equal stretches between the first time
/// and now (all in microseconds). Empty when it happened fewer than three times or within three
/// seconds.
[[nodiscard]] std::vector<observation> activity_of(const std::vector<int64_t>& times, int64_t now);

}  // namespace kgents::actors
