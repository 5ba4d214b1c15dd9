#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "actors/contexts/time/call_graph.hpp"

/// Drawings of what was invoked, as lines of ASCII, none wider than asked for (from 20 columns on),
/// at most `most_lines` of them.
namespace kgents::actors {

inline constexpr size_t most_lines = 200;

/// One invocation in time.
struct drawn_span {
  std::string path;
  int64_t from_us = 0;  ///< microseconds, from any origin
  int64_t to_us = 0;
  std::string span;
  std::string parent;  ///< of another span; empty or not among them: none
  bool ok = true;
};

/// Paths by their segments, each with its number unless that is 0.
[[nodiscard]] std::string draw_tree(const std::map<std::string, int64_t>& paths, size_t width);

/// A line a caller and callee, the most frequent first.
[[nodiscard]] std::string draw_graph(std::vector<call_edge> edges, size_t width);

/// A line an invocation, in the order of their beginnings; its bar is where it was in time, of `=`,
/// or `x` when it failed.
[[nodiscard]] std::string draw_timeline(std::vector<drawn_span> spans, size_t width);

/// Each invocation with those that it invoked under it; bars in proportion to the longest.
[[nodiscard]] std::string draw_flame(std::vector<drawn_span> spans, size_t width);

}  // namespace kgents::actors
