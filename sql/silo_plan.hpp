#pragma once

#include <optional>
#include <string_view>

namespace kgents::sql {

/// Where a silo is on its way (data.md section 12). `failed` ends it until it is asked for again.
enum class silo_state { requested, creating, migrating, copying, cutover, active, failed };

/// What is done next for a silo. Every step may be repeated: it looks at what is there and does
/// what is missing, since a process may die at any point of it.
enum class silo_step {
  wait,      ///< nothing, or not yet
  begin,     ///< note that somebody is at it
  create,    ///< a database
  migrate,   ///< its schema, grants and mark
  copy,      ///< the tenant's rows, which are read-only from then on
  cut_over,  ///< one transaction, after which the silo is where the data is
  upgrade,   ///< a silo in use to the program's schema
  purge,     ///< what stayed behind in the shared database
  undo,      ///< the whole silo
};

/// What is known of a silo beside its state.
struct silo_facts {
  bool cancel = false;     ///< the operator has given it up
  bool copied = false;     ///< the copy was compared and is still what there is
  bool outdated = false;   ///< its schema is older than the program's
  bool purge_due = false;  ///< and not purged yet
};

/// Pure: what to do next.
[[nodiscard]] silo_step next_step(silo_state at, const silo_facts& known) noexcept;

/// The state after a step that went well.
[[nodiscard]] silo_state after(silo_step done, silo_state at) noexcept;

/// The state after a step that went wrong and is tried again: a copy begins anew, since its tenant
/// gets its writes back meanwhile.
[[nodiscard]] silo_state after_trouble(silo_state at) noexcept;

[[nodiscard]] std::string_view to_string(silo_state x) noexcept;
[[nodiscard]] std::string_view to_string(silo_step x) noexcept;
[[nodiscard]] std::optional<silo_state> parse_silo_state(std::string_view text) noexcept;

}  // namespace kgents::sql
