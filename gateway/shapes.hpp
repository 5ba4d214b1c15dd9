#pragma once

#include <boost/json/object.hpp>

#include "gateway/schema.hpp"
#include "protocol/ids.hpp"

/// What answers look like, for the OpenAPI document, and those that several routes build.
namespace kgents::gateway {

extern const schema session_shape;
extern const schema session_list_shape;
extern const schema message_shape;
extern const schema message_list_shape;
extern const schema turn_shape;
extern const schema cancel_shape;
extern const schema dialogue_shape;
extern const schema governance_shape;
extern const schema health_shape;
extern const schema saas_health_shape;
extern const schema root_shape;
extern const schema probe_shape;
extern const schema cluster_shape;
extern const schema drain_shape;
extern const schema cdc_shape;
extern const schema cdc_rebuild_shape;
extern const schema dead_letters_shape;
extern const schema dead_letters_retried_shape;
extern const schema dead_letters_removed_shape;
extern const schema cdc_search_shape;

[[nodiscard]] boost::json::object message_json(message_id id, session_id session,
                                               std::string_view role, std::string_view content,
                                               int64_t tokens_used, std::string_view created_at);

}  // namespace kgents::gateway
