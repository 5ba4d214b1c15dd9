#include "gateway/shapes.hpp"

namespace kgents::gateway {

namespace {

using enum value_type;

constexpr field session_fields[] = {
    {.name = "id", .required = true, .meaning = "uuid"},
    {.name = "tenant_id", .required = true, .meaning = "uuid"},
    {.name = "title", .required = true, .nullable = true},
    {.name = "agent_type", .required = true},
    {.name = "status", .required = true, .meaning = "active, archived or closed"},
    {.name = "message_count", .type = integer, .required = true},
    {.name = "tokens_used", .type = integer, .required = true},
    {.name = "created_at", .required = true, .meaning = "ISO 8601, UTC, with offset"},
};

constexpr field session_list_fields[] = {
    {.name = "sessions", .type = array, .required = true},
    {.name = "total", .type = integer, .required = true, .meaning = "before paging"},
};

constexpr field message_fields[] = {
    {.name = "id", .required = true, .meaning = "uuid"},
    {.name = "session_id", .required = true, .meaning = "uuid"},
    {.name = "role", .required = true, .meaning = "user, assistant, system or tool"},
    {.name = "content", .required = true},
    {.name = "tokens_used",
     .type = integer,
     .required = true,
     .meaning = "prompt plus output tokens of that turn"},
    {.name = "created_at", .required = true, .meaning = "ISO 8601, UTC, with offset"},
};

constexpr field message_list_fields[] = {
    {.name = "messages", .type = array, .required = true},
    {.name = "total", .type = integer, .required = true, .meaning = "before paging"},
    {.name = "session_id", .required = true, .meaning = "uuid"},
};

constexpr field turn_fields[] = {
    {.name = "turn_id", .required = true, .meaning = "uuid"},
    {.name = "session_id", .required = true, .meaning = "uuid"},
    {.name = "status",
     .required = true,
     .meaning = "queued, running, completed, canceled or failed"},
    {.name = "text", .required = true, .meaning = "what has been said so far"},
    {.name = "chunks", .type = integer, .required = true},
    {.name = "tokens_used", .type = integer, .required = true},
    {.name = "finish_reason", .required = true, .nullable = true},
    {.name = "error", .type = object, .required = true, .nullable = true},
    {.name = "created_at", .required = true},
    {.name = "ended_at", .required = true, .nullable = true},
};

constexpr field cancel_fields[] = {
    {.name = "turn_id", .required = true, .nullable = true},
    {.name = "status", .required = true, .meaning = "canceled or idle"},
};

constexpr field dialogue_fields[] = {
    {.name = "response", .required = true},
    {.name = "mode", .required = true},
    {.name = "eigenvectors", .type = object, .required = true},
    {.name = "tokens_used", .type = integer, .required = true},
    {.name = "referenced_preferences", .type = array, .required = true},
    {.name = "referenced_patterns", .type = array, .required = true},
};

constexpr field governance_fields[] = {
    {.name = "approved", .type = boolean, .required = true},
    {.name = "reasoning", .required = true},
    {.name = "alternatives", .type = array, .required = true},
    {.name = "confidence", .type = number, .required = true, .least = 0, .most = 1},
    {.name = "tokens_used", .type = integer, .required = true, .least = 0},
    {.name = "recommendation", .required = true, .meaning = "approve, reject or escalate"},
    {.name = "principles", .type = array, .required = true},
};

constexpr field health_fields[] = {
    {.name = "status", .required = true, .meaning = "ok, degraded or error"},
    {.name = "version", .required = true},
    {.name = "has_llm", .type = boolean, .required = true},
    {.name = "components", .type = object, .required = true},
};

constexpr field saas_fields[] = {
    {.name = "status", .required = true},
    {.name = "started", .type = boolean, .required = true},
    {.name = "openmeter", .type = object, .required = true},
    {.name = "nats", .type = object, .required = true},
    {.name = "stripe", .type = object, .required = true},
    {.name = "redis", .type = object, .required = true},
};

constexpr field root_fields[] = {
    {.name = "name", .required = true},
    {.name = "version", .required = true},
    {.name = "description", .required = true},
    {.name = "docs", .required = true},
    {.name = "health", .required = true},
    {.name = "endpoints", .type = object, .required = true},
};

constexpr field probe_fields[] = {{.name = "status", .required = true}};

constexpr field cluster_fields[] = {
    {.name = "cluster", .required = true, .meaning = "its name"},
    {.name = "self", .type = integer, .required = true, .meaning = "id of the answering node"},
    {.name = "version",
     .type = integer,
     .required = true,
     .meaning = "grows with each change of a state or a lease"},
    {.name = "nodes",
     .type = array,
     .required = true,
     .meaning = "id (of this life of the node), name, address, roles, state (joining, up, leaving, "
                "dead), shards, linked, beat, drain_requested"},
    {.name = "moves",
     .type = array,
     .required = true,
     .meaning = "hand-offs of the answering node: from, to, shards, seconds"},
    {.name = "free_shards", .type = integer, .required = true, .meaning = "that nobody owns"},
    {.name = "shards", .type = array, .meaning = "with ?shards=true: shard, owner (an id), epoch"},
};

constexpr field drain_fields[] = {
    {.name = "name", .required = true},
    {.name = "status", .required = true, .meaning = "leaving"},
};

constexpr field cdc_fields[] = {
    {.name = "pending",
     .type = integer,
     .required = true,
     .meaning = "changes not processed yet; counted up to 100,000"},
    {.name = "oldest_pending_ms", .type = number, .required = true},
    {.name = "dead_letters",
     .type = object,
     .required = true,
     .meaning = "size, by_reason, by_table"},
    {.name = "rebuilds",
     .type = array,
     .required = true,
     .meaning = "table, phase (upsert, sweep, done), upserted, swept, requested_at, finished_at"},
};

constexpr field cdc_rebuild_fields[] = {
    {.name = "status", .required = true, .meaning = "requested"},
    {.name = "tables", .type = array, .required = true},
};

constexpr field dead_letters_fields[] = {
    {.name = "dead_letters",
     .type = array,
     .required = true,
     .meaning = "newest first: id, outbox_id, tenant_id, table, operation, row_id, target, error, "
                "reason, retry_count, failed_at"},
};

constexpr field retried_fields[] = {{.name = "retried", .type = integer, .required = true}};
constexpr field removed_fields[] = {{.name = "removed", .type = integer, .required = true}};

constexpr field cdc_search_fields[] = {
    {.name = "points",
     .type = array,
     .required = true,
     .meaning = "of the tenant alone, nearest first, as the index lists them"},
};

}  // namespace

const schema session_shape{"SessionResponse", session_fields};
const schema session_list_shape{"SessionListResponse", session_list_fields};
const schema message_shape{"MessageResponse", message_fields};
const schema message_list_shape{"MessageListResponse", message_list_fields};
const schema turn_shape{"TurnResponse", turn_fields};
const schema cancel_shape{"CancelResponse", cancel_fields};
const schema dialogue_shape{"DialogueResponse", dialogue_fields};
const schema governance_shape{"GovernanceResponse", governance_fields};
const schema health_shape{"HealthResponse", health_fields};
const schema saas_health_shape{"SaasHealthResponse", saas_fields};
const schema root_shape{"RootResponse", root_fields};
const schema probe_shape{"ProbeResponse", probe_fields};
const schema cluster_shape{"ClusterResponse", cluster_fields};
const schema drain_shape{"DrainResponse", drain_fields};
const schema cdc_shape{"CdcResponse", cdc_fields};
const schema cdc_rebuild_shape{"CdcRebuildResponse", cdc_rebuild_fields};
const schema dead_letters_shape{"DeadLettersResponse", dead_letters_fields};
const schema dead_letters_retried_shape{"DeadLettersRetriedResponse", retried_fields};
const schema dead_letters_removed_shape{"DeadLettersRemovedResponse", removed_fields};
const schema cdc_search_shape{"CdcSearchResponse", cdc_search_fields};

boost::json::object message_json(message_id id, session_id session, std::string_view role,
                                 std::string_view content, int64_t tokens_used,
                                 std::string_view created_at) {
  return {{"id", id.text()},    {"session_id", session.text()}, {"role", role},
          {"content", content}, {"tokens_used", tokens_used},   {"created_at", created_at}};
}

}  // namespace kgents::gateway
