#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// A key and what was stored under it, as JSON text.
struct memory_row {
  std::string key;
  std::string value;
};

struct new_memory {
  std::string key;
  std::string value;    ///< JSON text
  std::string content;  ///< what of it is searched
  std::string subdirectory{};
  double relevance = 1.0;  ///< 0 to 1
  bool temporary = false;
};

/// Before a memory is stored: how many there are, and whose the key is.
struct memory_room {
  uint64_t count = 0;
  bool exists = false;
  bool of_another_agent = false;
};

struct memory_keys {
  std::vector<std::string> keys;
  uint64_t total = 0;
};

struct memory_change {
  uint64_t changed = 0;
  uint64_t left = 0;  ///< memories there are afterwards
};

/// The keys and values of self.memory (migration 24): rows of kg.memories whose agent is `self`.
namespace agentese_memory {

/// JSON text; none: nothing of that key.
[[nodiscard]] query<std::optional<std::string>> get(tenant_id tenant, std::string_view key);

/// Those that have the text in key or value, whatever the case, newest first; where there is none,
/// those that have its words, best first.
[[nodiscard]] query<std::vector<memory_row>> search(tenant_id tenant, std::string_view text,
                                                    size_t limit);

/// Newest first.
[[nodiscard]] query<memory_keys> keys(tenant_id tenant, size_t limit);

[[nodiscard]] query<memory_room> room(tenant_id tenant, std::string_view key);

/// Adds or replaces. False when the key is another agent's.
[[nodiscard]] query<bool> put(tenant_id tenant, const new_memory& memory);

[[nodiscard]] query<bool> remove(tenant_id tenant, std::string_view key);

/// What was stored as temporary stays.
[[nodiscard]] query<memory_change> consolidate(tenant_id tenant);

/// Drops what is less relevant than `threshold`.
[[nodiscard]] query<memory_change> prune(tenant_id tenant, double threshold);

}  // namespace agentese_memory

}  // namespace kgents::sql
