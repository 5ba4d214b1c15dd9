#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// A name and its value, as JSON text.
using named_value = std::pair<std::string, std::string>;

struct self_room {
  uint64_t count = 0;
  uint64_t bytes = 0;                ///< of all the other values
  std::optional<std::string> value;  ///< what is there now
};

struct checkpoint_row {
  uint64_t number = 0;
  std::string label;
  std::string content;  ///< JSON text
  std::string taken_at;
};

/// Small things that the context `self` keeps by name, and checkpoints of them (migration 24).
/// Values are JSON texts.
namespace agentese_self {

[[nodiscard]] query<std::optional<std::string>> get(tenant_id tenant, std::string_view name);
/// The same, with how many names there are and how large what they hold.
[[nodiscard]] query<self_room> room(tenant_id tenant, std::string_view name);
[[nodiscard]] query<nothing> put(tenant_id tenant, std::string_view name, std::string_view value);

/// All but what is a user's own (`soul/…`), by name.
[[nodiscard]] query<std::vector<named_value>> state(tenant_id tenant);

/// In place of all that `state` gives. `content`: an object of names and values.
[[nodiscard]] query<nothing> replace_state(tenant_id tenant, std::string_view content);

/// `subject` is `state` or `memory`. An empty label becomes `prefix` with the number. Only the
/// newest `keep` stay.
[[nodiscard]] query<checkpoint_row> add_checkpoint(tenant_id tenant, std::string_view subject,
                                                   std::string_view label, std::string_view prefix,
                                                   std::string_view content, size_t keep);

/// Without their contents, oldest first.
[[nodiscard]] query<std::vector<checkpoint_row>> checkpoints(tenant_id tenant,
                                                             std::string_view subject);

[[nodiscard]] query<std::optional<checkpoint_row>> checkpoint(tenant_id tenant,
                                                              std::string_view subject,
                                                              uint64_t number);

}  // namespace agentese_self

}  // namespace kgents::sql
