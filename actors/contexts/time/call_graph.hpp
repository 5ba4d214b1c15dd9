#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::actors {

/// One aspect invoked another, so many times. Full paths (`world.house.manifest`).
struct call_edge {
  std::string from;
  std::string to;
  int64_t calls = 1;

  friend bool operator==(const call_edge&, const call_edge&) = default;
};

/// Part of the graph of invocations, as seen from one of its nodes.
struct call_neighbourhood {
  struct member {
    std::string path;
    int distance = 0;  ///< calls between it and the target
  };
  std::vector<member> nodes;     ///< the target first, then by distance and name
  std::vector<call_edge> edges;  ///< between these, by name
  bool cut = false;              ///< there were more nodes than may be told
};

/// Nodes of one answer.
inline constexpr size_t most_graph_nodes = 500;

enum class call_direction : uint8_t { callers, callees };

/// Who calls `target`, directly or through others, up to `depth` calls away; or whom it calls. A
/// target may be a full path or a node's, which stands for all its aspects. Linear in the edges
/// times the depth.
[[nodiscard]] call_neighbourhood neighbourhood(const std::vector<call_edge>& edges,
                                               std::string_view target, int depth,
                                               call_direction direction);

/// Whether `path` is the target or one of its aspects.
[[nodiscard]] bool belongs_to(std::string_view path, std::string_view target) noexcept;

/// What is in `after` only, in `before` only, and in both.
struct path_difference {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> unchanged;
};
[[nodiscard]] path_difference difference(const std::set<std::string>& before,
                                         const std::set<std::string>& after);

}  // namespace kgents::actors
