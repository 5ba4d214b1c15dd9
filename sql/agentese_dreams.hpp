#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// Something that a user of the tenant said.
struct dream_interaction {
  int64_t seq = 0;
  std::string text;  ///< its beginning
  std::string mode;
};

/// A pattern of an earlier dream, in the persona's garden.
struct garden_pattern {
  int64_t id = 0;
  std::string text;
  std::string lifecycle;  ///< seed, sapling, tree, flower
  double confidence = 0;
  uint32_t occurrences = 0;
  double days_unseen = 0;
  std::string last_seen;
};

struct dream_state {
  uint64_t cycles = 0;
  std::string confidence = "{}";      ///< axis → what all cycles have added, JSON
  std::optional<std::string> report;  ///< of the last one, JSON; none: there was none
  std::string dreamt_at;
};

struct dream_view {
  dream_state state;
  std::vector<dream_interaction> interactions;  ///< not dreamt of yet, oldest first
  std::vector<garden_pattern> garden;           ///< newest first
};

/// What a cycle does to the garden and to its own state.
struct dream_changes {
  struct nurtured {
    int64_t id = 0;
    uint32_t occurrences = 0;
    std::string lifecycle;
    double confidence = 0;
  };
  struct planted {
    std::string text;
    double confidence = 0;
    std::string affinities;  ///< JSON object
  };
  std::vector<nurtured> seen_again;
  std::vector<planted> seeds;
  std::vector<int64_t> composted;
  int64_t last_message = 0;
  std::string confidence;
  std::string report;
};

namespace agentese_dreams {

/// `interactions`: the newest so many at most, of the tenant's 200 newest sessions; `patterns`: of
/// the garden, at most.
[[nodiscard]] query<dream_view> view(tenant_id tenant, uint32_t interactions, uint32_t patterns);

[[nodiscard]] query<nothing> apply(tenant_id tenant, const dream_changes& changes);

}  // namespace agentese_dreams

}  // namespace kgents::sql
