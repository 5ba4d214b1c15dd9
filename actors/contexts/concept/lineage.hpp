#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/agentese/error.hpp"

namespace kgents::actors {

/// Where a concept comes from and what it has from there (agentese.md 14.1).
struct lineage {
  std::string handle;
  std::vector<std::string> extends;
  std::vector<std::string> subsumes;
  std::vector<std::string> subsumed_by;  ///< concepts that were defined as above this one
  std::string justification;
  std::vector<std::string> affordances;  ///< of all parents, each once
  std::vector<std::string> constraints;  ///< that all constrained parents share
  std::string created_by;
  std::string created_at;
  std::string domain = "general";
  int64_t depth = 0;

  friend bool operator==(const lineage&, const lineage&) = default;
};

/// By handle.
using lineages = std::map<std::string, lineage, std::less<>>;

/// concept, concept.entity, concept.process, concept.relation, concept.property; null: another.
[[nodiscard]] const lineage* standard_parent(std::string_view handle);
[[nodiscard]] std::span<const lineage> standard_parents();

struct lineage_request {
  std::string handle;
  std::vector<std::string> extends;
  std::vector<std::string> subsumes;
  std::string justification;
  std::string domain;  ///< empty: from the handle
  /// Beyond what the parents give.
  std::vector<std::string> affordances;
  std::vector<std::string> constraints;
  std::string created_by;
  std::string created_at;
};

/// The lineage of a new or redefined concept, or the first thing that is wrong with it: no parent,
/// a missing one, a cycle, opposed affordances, constraints that exclude each other. `known` has
/// the parents and everything above them that is stored.
[[nodiscard]] std::variant<lineage, agentese::error> derive(const lineage_request& ask,
                                                            const lineages& known);

/// What is directly above: its parents, and what subsumes it.
[[nodiscard]] std::vector<std::string> above(const lineage& x);

[[nodiscard]] boost::json::object to_json(const lineage& x);
/// Members that are missing or of another type stay as they are by default.
[[nodiscard]] lineage lineage_from(const boost::json::value& x);

}  // namespace kgents::actors
