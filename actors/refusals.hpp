#pragma once

#include "protocol/messages.hpp"
#include "sql/pool.hpp"

namespace kgents::actors {

/// How a failed transaction is answered: 503 when PostgreSQL is away or busy, 500 when it refused
/// (which is logged).
[[nodiscard]] refusal refused_by_database(const sql::failure& why);

}  // namespace kgents::actors
