#pragma once

#include <string>
#include <vector>

namespace kgents::sql {

struct self_check_options {
  std::string database_url{};  ///< as the API will connect
  std::string control_url{};   ///< of the control role; empty: not checked
  bool production = false;     ///< also refuse development keys
  bool allow_privileged =
      false;  ///< KGENTS_ENV=test only: a role that RLS does not bind is accepted
};

struct self_check_result {
  bool reachable = true;              ///< false: a connection failed, `problems` says which
  std::vector<std::string> problems;  ///< each says what is wrong and what to do; empty: start
};

/// What must hold before the server may start, asked of the database itself:
///
/// - the roles are bound by row-level security: no superuser, no BYPASSRLS, neither owner nor
/// member of the owner;
/// - every migration of this program is applied, with the checksums it has here;
/// - in production none of the published development keys exists.
///
/// Blocks the calling thread: at most ten seconds to connect, then within the roles'
/// statement_timeout. For programs at start, not for actors.
[[nodiscard]] self_check_result self_check(const self_check_options& options);

}  // namespace kgents::sql
