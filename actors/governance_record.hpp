#pragma once

#include "actors/persona/governance.hpp"
#include "protocol/ids.hpp"
#include "sql/pool.hpp"

namespace kgents::actors {

/// The entry of the audit log for a decision: who asked, what came of it, how grave and how sure, and
/// the SHA-256 of the action. Not its text, nor the reasoning that quotes it. For a transaction with
/// `plane::control`, as kg_app; the key must be one of the tenant's.
[[nodiscard]] sql::statement governance_record(api_key_id key,
                                               const persona::governance_request& ask,
                                               const persona::verdict& x);

}  // namespace kgents::actors
