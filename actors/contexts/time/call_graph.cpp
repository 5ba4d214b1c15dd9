#include "actors/contexts/time/call_graph.hpp"

#include <algorithm>
#include <map>

namespace kgents::actors {

namespace {

using distances = std::map<std::string, int, std::less<>>;

/// Breadth first: everything that one more call reaches.
std::vector<std::string> next_ring(const std::vector<call_edge>& edges, const distances& seen,
                                   int distance, call_direction direction) {
  std::set<std::string> out;
  for (const auto& x : edges) {
    const auto& here = direction == call_direction::callers ? x.to : x.from;
    const auto& there = direction == call_direction::callers ? x.from : x.to;
    const auto at = seen.find(here);
    if (at != seen.end() && at->second == distance && !seen.contains(there))
      out.insert(there);
  }
  return {out.begin(), out.end()};
}

}  // namespace

bool belongs_to(std::string_view path, std::string_view target) noexcept {
  if (path == target)
    return true;
  return path.size() > target.size() + 1 && path.starts_with(target) &&
         path[target.size()] == '.' &&
         path.find('.', target.size() + 1) == std::string_view::npos;
}

call_neighbourhood neighbourhood(const std::vector<call_edge>& edges, std::string_view target,
                                 int depth, call_direction direction) {
  call_neighbourhood out;
  distances seen;
  seen.emplace(target, 0);
  for (const auto& x : edges)
    for (const auto* path : {&x.from, &x.to})
      if (belongs_to(*path, target))
        seen.emplace(*path, 0);
  for (int distance = 0; distance < depth && !out.cut; ++distance) {
    const auto ring = next_ring(edges, seen, distance, direction);
    for (const auto& path : ring) {
      out.cut = seen.size() == most_graph_nodes;
      if (out.cut)
        break;
      seen.emplace(path, distance + 1);
    }
    if (ring.empty())
      break;
  }
  for (const auto& [path, distance] : seen)
    out.nodes.push_back({path, distance});
  std::stable_sort(out.nodes.begin(), out.nodes.end(), [&](const auto& a, const auto& b) {
    return std::pair{a.distance, a.path != target} < std::pair{b.distance, b.path != target};
  });
  for (const auto& x : edges)
    if (seen.contains(x.from) && seen.contains(x.to))
      out.edges.push_back(x);
  std::sort(out.edges.begin(), out.edges.end(), [](const auto& a, const auto& b) {
    return std::tie(a.from, a.to) < std::tie(b.from, b.to);
  });
  return out;
}

path_difference difference(const std::set<std::string>& before,
                           const std::set<std::string>& after) {
  path_difference out;
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(out.added));
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                      std::back_inserter(out.removed));
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(),
                        std::back_inserter(out.unchanged));
  return out;
}

}  // namespace kgents::actors
