#pragma once

#include <string_view>

#include "sql/pool.hpp"

namespace kgents::sql {

/// Whether the same again would be refused for ever, for what it contains. What PostgreSQL refuses
/// for now (deadlock, lock timeout, shutdown, full disk) has these classes.
[[nodiscard]] inline bool refused_for_good(const failure& why) {
  if (why.what != failure::kind::rejected)
    return false;
  const auto kind = std::string_view{why.sqlstate}.substr(0, 2);
  return kind != "40" && kind != "53" && kind != "55" && kind != "57" && kind != "58";
}

}  // namespace kgents::sql
