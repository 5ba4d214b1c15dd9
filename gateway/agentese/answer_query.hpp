#pragma once

#include <functional>

#include "gateway/agentese/query.hpp"
#include "gateway/route.hpp"

/// Queries over HTTP: of the table, and of what the tenant has defined itself.
namespace kgents::gateway {

inline constexpr field query_fields[] = {
    {.name = "q",
     .required = true,
     .meaning = "`?context.holon.aspect`, each a name, `*` or a glob; an aspect `?` asks which.",
     .max_bytes = 1024},
    {.name = "limit",
     .type = value_type::integer,
     .default_json = "100",
     .meaning = "How many at most; more than 1000 is an error."},
    {.name = "offset", .type = value_type::integer, .default_json = "0"},
    {.name = "dry_run",
     .type = value_type::boolean,
     .default_json = "false",
     .meaning = "No matches, only what it would cost."},
    {.name = "capability_check",
     .type = value_type::boolean,
     .default_json = "true",
     .meaning = "Leave out what the observer or the key may not use."},
    {.name = "tenant_id", .meaning = "The caller's own; another's is refused."},
};
extern const schema query_answer;

/// Answers the call, whose route has `query_fields`, with its query's result; `refuse` says in the
/// route's dialect why not.
void answer_query(const call_ptr& c, agentese::observer who,
                  std::function<void(const agentese::error&)> refuse);

}  // namespace kgents::gateway
